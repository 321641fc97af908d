"""Convert a model file into a file for OpenCV: read, understand, trace, build, verify. Start with ``convert.py``."""
