"""A model's life after training: drift at scoring, performance once outcomes are known."""
