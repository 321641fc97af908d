"""The command line: one file for each verb, with its arguments, its calls and its words, and nothing else.

Start with ``verbs.py``, which lists them. Verbs load OpenCV when they run, not before.
"""

from cvsr.cli.verbs import main

__all__ = ["main"]
