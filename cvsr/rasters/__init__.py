"""Stacks of pages and maps: TIFF files of any number of pages, row by row. Start with ``stacks.py`` or ``maps.py``."""
