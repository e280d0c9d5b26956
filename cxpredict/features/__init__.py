"""From the log to one row per (customer, as_of)."""
