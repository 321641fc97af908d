"""Frozen TensorFlow graphs, rewritten as ONNX in memory. Start with ``importer.py``."""
