"""TIFF: a parser of directories, what is read from them, and a writer that gets rows. Start with ``parser.py``."""
