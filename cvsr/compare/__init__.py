"""Compare models on an image, as an HTML page or a plot. Start with ``comparison.py``.

The page's templates are in ``assets/``; the server uses its viewer (``viewer.js``), too.
"""
