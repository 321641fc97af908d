"""Model files: their facts, and reading and writing ONNX and frozen graphs without a framework. Start with ``info.py``."""
