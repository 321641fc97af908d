"""The engine "superres": OpenCV's own cv2.dnn_superres, without its side effects on other networks."""

import threading
from typing import Any

import numpy as np

from cvsr._cv2 import VERSION, cv2
from cvsr.errors import DeviceError, ImageError, ModelError, OpenCVError, OptionError
from cvsr.image import Image
from cvsr.image.tiles import Span, Tile
from cvsr.inference.network import file_of
from cvsr.inference.stages import ImageSource, Stage, Watch
from cvsr.modelfiles.info import ModelInfo, read_bytes
from cvsr.opencv import devices, engines
from cvsr.opencv.ran_on import RanOn


class OpenCVSuperRes:
    """A ``DnnSuperResImpl`` with a model; call it with an 8-bit image, gray or BGR, to enlarge it.

    It runs on the whole image and on the CPU: it does not report where it ran, so other devices cannot be guaranteed.
    Raises ModelError if it cannot run the model, OpenCVError if this OpenCV lacks it, DeviceError.
    """

    def __init__(self, info: ModelInfo, requested: str = "auto") -> None:
        if requested not in ("auto", "cpu"):
            raise DeviceError(
                f"dnn_superres does not report where it runs, so engine='superres' cannot guarantee {requested!r}: "
                "use device='cpu', or omit engine"
            )
        if info.format != "pb" or not info.algorithm or info.path is None:
            raise ModelError(
                f"engine='superres' runs frozen TensorFlow graphs (.pb) of espcn, edsr, fsrcnn and lapsrn, and "
                f"{info.name} is not recognized as one: omit engine, or pass algorithm to cvsr.open_model"
            )
        self.info = info
        self._lock = threading.Lock()  # its net gives wrong results when threads share it
        self._module = _created()
        try:
            self._read(info)
            self(np.zeros((24, 24, 3), np.uint8))
        except (cv2.error, ImageError) as error:
            said = " ".join(str(error).split())
            raise ModelError(f"dnn_superres of OpenCV {cv2.__version__} cannot run {info.path}: {said}") from error
        evidence = f"{engines.opencv_name()}: DnnSuperResImpl with its default back end, the CPU"
        names = ("cv2.dnn_superres", devices.resolve("cpu").target_name, "cpu", requested)
        self.ran_on = RanOn(str(cv2.__version__), "superres", *names, evidence, int(cv2.getNumThreads()))

    def _read(self, info: ModelInfo) -> None:
        from cvsr.modelfiles.tensorflow import graphdef  # lazy: keeps the import of cvsr fast

        if VERSION < (4, 11, 0):
            self._module.readModel(str(info.path))
        else:  # with the attribute that OpenCV's own DepthToSpace needs, since the module's layer is gone
            with file_of(graphdef.add_blocksize(read_bytes(str(info.path))), ".pb") as name:
                self._module.readModel(name)
        self._module.setModel(info.algorithm, info.scale)

    def __call__(self, image: Image) -> Image:
        """Return ``image``, (H, W) or (H, W, 3) BGR, uint8, as dnn_superres enlarges it; raise ImageError."""
        if image.dtype != np.uint8:
            raise ImageError(f"dnn_superres supports 8 bits only, and the image is {image.dtype}: omit engine")
        try:
            with self._lock:
                large: Image = self._module.upsample(image)
        except cv2.error as error:
            said = " ".join(str(error).split())
            raise ImageError(f"dnn_superres refuses an image of shape {image.shape}: {said}") from error
        return large

    def stage(self, source: Stage, watch: Watch) -> ImageSource:
        """Return the stage after ``source``, computed at once."""
        watch.check()
        width, height = source.size
        watch.total += 1
        large = self(np.ascontiguousarray(source.rows(0, height)))
        watch.finished(Tile(Span(0, height, 0, height), Span(0, width, 0, width)))
        return ImageSource(large)


def _created() -> Any:
    """Return a new DnnSuperResImpl, and unregister the layer that the first one of a process registers.

    If other code creates a DnnSuperResImpl after that, it lacks the layer and fails when it runs. Before 4.11 the
    layer hides none of OpenCV's own, and stays.
    """
    create = getattr(getattr(cv2, "dnn_superres", None), "DnnSuperResImpl_create", None)
    if create is None:
        raise OpenCVError(
            f"engine='superres' needs cv2.dnn_superres, which {engines.opencv_name()} lacks: it is in the wheels "
            "opencv-contrib-python and in Debian's python3-opencv. Omit engine: cvsr reads the same files itself"
        )
    from cvsr.opencv import layer_registry

    with layer_registry.LOCK:
        theirs = layer_registry.shadowed()  # by code that needs it
        module = create()
        if not theirs:
            layer_registry.restore()
    return module


def check(engine: str, *, tile: int | None, max_memory: int | str | None) -> str:
    """Return an engine's name in lower case; raise OptionError if it is unknown or conflicts with other options."""
    name = str(engine).strip().lower()
    if name not in ("auto", "superres"):
        raise OptionError(f"unknown engine {engine!r}: use 'auto', or 'superres' for OpenCV's own dnn_superres")
    if name == "superres" and (tile or max_memory is not None):
        raise OptionError("engine='superres' runs on the whole image at once: omit tile and max_memory")
    return name
