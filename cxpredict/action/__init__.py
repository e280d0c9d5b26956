"""Whom to contact, and whom to hold out."""
