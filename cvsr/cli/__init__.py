"""The command line: one file for each verb, with nothing but its arguments, calls and texts.

Start with ``verbs.py``, the table of verbs. Verbs load OpenCV when they run, not before.
"""

from cvsr.cli.verbs import main

__all__ = ["main"]
