"""TIFF: directories and tags of any file, and a writer that takes rows as they come. Start with ``directories.py``."""
