"""The page that compares models on an image, and its plot. Start with ``comparison.py``.

The page lies in ``assets/``; its viewer (``viewer.js``) is the server's, too.
"""
