"""Run an image through a network in tiles or segments without seams, rows on demand. Start with ``execution.py``."""
