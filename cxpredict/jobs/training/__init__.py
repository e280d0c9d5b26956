"""Training: from records to registered models with their evidence."""
