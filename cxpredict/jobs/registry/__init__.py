"""MLflow: the store, the life of its runs, what they hold, versions and their aliases."""
