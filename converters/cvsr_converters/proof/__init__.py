"""Proof that a converted file computes what the original does, in this OpenCV and in others. Start with ``verify.py``."""
