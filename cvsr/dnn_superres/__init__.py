"""``cv2.dnn_superres`` on any OpenCV, contrib or plain: change the import, and leave the rest of a script as it is.

>>> from cvsr import dnn_superres
>>> sr = dnn_superres.DnnSuperResImpl_create()
>>> sr.readModel("FSRCNN_x2.pb")
>>> sr.setModel("fsrcnn", 2)
>>> large = sr.upsample(image)

The pictures are the original's within one step of 8 bits. It takes more than the original: .onnx files, transparency,
16 bits, images of any size (in tiles), any scale, several threads on one object. It says more: a file that is not what
setModel says is an error, and where a device that was asked for is not here, the CPU takes its place with a
DeviceWarning, or the error DeviceError where the environment variable CVSR_STRICT is 1.
"""

from cvsr.dnn_superres.drop_in import DeviceWarning, DnnSuperResImpl, DnnSuperResImpl_create

__all__ = ["DeviceWarning", "DnnSuperResImpl", "DnnSuperResImpl_create"]
