"""Many files: which there are, what each becomes, and what became of them. Start with ``jobs.py``; ``cluster.py`` spreads them."""
