"""An image through a network: tiles, segments, rows on demand, exact at every seam. Start with ``execution.py``."""
