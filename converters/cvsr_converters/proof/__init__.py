"""Verify that a converted file gives the original's results in this OpenCV and others. Start with ``verify.py``."""
