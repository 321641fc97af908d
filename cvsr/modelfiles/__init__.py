"""Model files: facts, and ONNX and frozen graphs read and written without a framework. Start with ``info.py``."""
