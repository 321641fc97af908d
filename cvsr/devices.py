"""Devices by name: which this OpenCV has, and why others are missing. See :mod:`cvsr.opencv.devices`."""

from cvsr.opencv.devices import NAMES, Device, Status, probe, resolve

__all__ = ["NAMES", "Device", "Status", "probe", "resolve"]
