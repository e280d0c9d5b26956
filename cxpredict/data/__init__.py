"""What is known about customers, and when it became known."""
