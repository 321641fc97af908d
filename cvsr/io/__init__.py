"""Image files: one table of formats, reading, writing, metadata. Start with ``formats.py``."""
