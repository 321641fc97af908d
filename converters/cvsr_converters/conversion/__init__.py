"""A model file becomes a file for OpenCV: read, understood, traced, built and proven. Start with ``convert.py``."""
