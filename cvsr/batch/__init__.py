"""Many files: finding them, planning the results, enlarging each, reporting what happened.

Start with ``enlarge.py``: one file becomes one file. ``jobs.py`` plans many, ``overlapped.py`` does two at a time,
``cluster.py`` distributes them over machines, ``inbox.py`` watches a folder.
"""
