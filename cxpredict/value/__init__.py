"""NPS inference, customer value and return on experience."""
