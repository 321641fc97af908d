"""Read and write model files (ONNX, frozen TensorFlow graphs) without a framework. Start with ``info.py``."""
