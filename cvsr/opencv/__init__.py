"""What differs between builds of OpenCV: devices, engines, threads, the layer registry. Start with ``devices.py``."""
