"""Self-contained HTML reports and their plots."""
