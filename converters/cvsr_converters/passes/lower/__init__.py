"""Rewrites of what is right in ONNX but not in every OpenCV. The parent package lists them in their order."""
