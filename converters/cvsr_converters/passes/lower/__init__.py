"""Rewrites of operators that are valid ONNX but wrong in some OpenCV. The parent package lists them in order."""
