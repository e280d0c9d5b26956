"""How the simulated company lives: its world, its truth, its tables."""
