"""Why a model says what it says, grouped and in words."""
