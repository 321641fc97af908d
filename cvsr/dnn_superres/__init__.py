"""``cv2.dnn_superres`` on any OpenCV, contrib or plain: only the import of a script changes.

>>> from cvsr import dnn_superres
>>> sr = dnn_superres.DnnSuperResImpl_create()
>>> sr.readModel("FSRCNN_x2.pb")
>>> sr.setModel("fsrcnn", 2)
>>> large = sr.upsample(image)

Results equal the original's within one step of 8 bits. It also takes .onnx files, transparency, 16 bits, images of any
size (in tiles), any scale, and several threads on one object. It is stricter, too: a file that does not match setModel
is an error, and if a requested device is unavailable, it falls back to the CPU with a DeviceWarning, or raises
DeviceError if the environment variable CVSR_STRICT is 1. The class is in ``drop_in.py``.
"""

from cvsr.dnn_superres.drop_in import DeviceWarning, DnnSuperResImpl, DnnSuperResImpl_create

__all__ = ["DeviceWarning", "DnnSuperResImpl", "DnnSuperResImpl_create"]
