"""Removing a person from files: who it is, and how each kind of file is rewritten without them."""
