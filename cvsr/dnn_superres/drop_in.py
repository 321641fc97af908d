"""A replacement for ``cv2.dnn_superres.DnnSuperResImpl`` with the same methods."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from cvsr._cv2 import cv2
from cvsr.dnn_superres import model_check
from cvsr.errors import DeviceError, ImageError, ModelError, OptionError
from cvsr.image import Image
from cvsr.inference import processing
from cvsr.modelfiles.info import ModelFacts, ModelInfo
from cvsr.opencv import devices
from cvsr.upscaler import Upscaler


class DeviceWarning(RuntimeWarning):
    """The requested device is not available: falling back to the CPU."""


class DnnSuperResImpl:
    """Enlarge images with a model file, by the methods of ``cv2.dnn_superres.DnnSuperResImpl``.

    ``path``, ``algo`` and ``scale`` are as for readModel and setModel, which may also be called later. The other
    arguments are as for :class:`cvsr.Upscaler`. Safe to call from several threads.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | ModelInfo | None = None,
        algo: str = "",
        scale: int = 0,
        *,
        max_memory: int | str | None = None,
        exact: bool = False,
        tile: int | None = None,
        threads: int | None = None,
    ) -> None:
        self._options: dict[str, Any] = {"max_memory": max_memory, "exact": exact, "tile": tile, "threads": threads}
        self._facts: ModelFacts | None = None
        self._algo, self._scale = "", 0
        self._checked: ModelInfo | None = None
        self._backend, self._target = 0, 0  # OpenCV's defaults: its own back end on the CPU
        self._device = "cpu"
        self._warned: set[str] = set()
        self._upscalers: dict[tuple[str, float], Upscaler] = {}
        self._lock = threading.RLock()
        if path is not None:
            self.readModel(path)
        if algo or scale:
            self.setModel(algo, scale)

    @staticmethod
    def create(*args: Any, **options: Any) -> DnnSuperResImpl:
        """Return a new object; without arguments it has no model yet."""
        return DnnSuperResImpl(*args, **options)

    def readModel(  # noqa: N802 - OpenCV's method names
        self, path: str | os.PathLike[str] | ModelInfo, definition: str | None = None
    ) -> None:
        """Take the model file ``path``, .pb or .onnx, or facts from :func:`cvsr.open_model`.

        ``definition``, the second of two files in other frameworks' formats, must be None, "" or ``path`` itself.
        Raises ModelNotFoundError, or ModelError if the file is broken or not a model.
        """
        facts = model_check.facts(path, definition)
        with self._lock:
            self._facts, self._checked = facts, None
            self._upscalers.clear()

    def setModel(self, algo: str, scale: int) -> None:  # noqa: N802
        """Set the algorithm, "espcn", "edsr", "fsrcnn" or "lapsrn" in any case, and the scale of the file.

        Both are checked against the file when an image is upsampled, since the file may be read later. This call may
        be omitted if the file says what it is. Raises OptionError if no model can have these values.
        """
        named = model_check.checked(algo, scale)
        with self._lock:
            (self._algo, self._scale), self._checked = named, None
            self._upscalers.clear()

    def setPreferableBackend(self, backendId: int) -> None:  # noqa: N802, N803
        """Choose a back end, ``cv2.dnn.DNN_BACKEND_…``; for unavailable ones see the package's docstring."""
        self._prefer(backendId, self._target)

    def setPreferableTarget(self, targetId: int) -> None:  # noqa: N802, N803
        """Choose a target, ``cv2.dnn.DNN_TARGET_…``; for unavailable ones see the package's docstring."""
        self._prefer(self._backend, targetId)

    def getAlgorithm(self) -> str:  # noqa: N802
        """Return the name given to setModel, in lower case, else the file's, else ""."""
        return self._algo or (self._facts.algorithm if self._facts else "")

    def getScale(self) -> int:  # noqa: N802
        """Return the scale given to setModel, else the file's, else 0."""
        return self._scale or (self._facts and self._facts.scale) or 0

    def upsample(self, img: Image, result: Image | None = None, *, scale: float | None = None) -> Image:
        """Return ``img`` enlarged, gray, BGR or BGRA: uint8 and uint16 keep their type, float32 in 0..255 gives uint8.

        ``result``: an array to write into; it is returned if its shape and dtype match, else a new array. ``scale``:
        a factor such as 1.5 or 3 instead of the model's own. Raises ImageError, ModelError if the file does not match
        setModel, and what :class:`cvsr.Upscaler` raises.
        """
        large = _run(self._upscaler(self._info(), scale), img)
        return large if result is None else _written(large, result)

    def upsampleMultioutput(  # noqa: N802
        self,
        img: Image,
        imgs_new: Sequence[Any] | None = None,
        scale_factors: Sequence[Any] | None = None,
        node_names: Sequence[str] | None = None,
    ) -> list[Image]:
        """Return an image for each of several outputs of a network (LapSRN), in the order requested.

        Call it with (img, scale_factors, node_names), or as in OpenCV with (img, imgs_new, scale_factors, node_names):
        then the images are also appended to ``imgs_new`` if that is a list. Raises what ``upsample`` raises.
        """
        if node_names is None:
            imgs_new, scale_factors, node_names = None, imgs_new, scale_factors
        scales = [] if scale_factors is None else [int(scale) for scale in scale_factors]
        names = [] if node_names is None else [str(name) for name in node_names]
        if not names or len(scales) != len(names):
            raise OptionError(
                f"there are {len(scales)} scales and {len(names)} output names: pass one scale for each name, as in "
                "upsampleMultioutput(img, [2, 4], ['NCHW_output_2x', 'NCHW_output_4x'])"
            )
        info = self._info()
        missing = [name for name in names if name not in info.outputs]
        if missing:
            raise ModelError(f"{info.path} has no output {missing[0]!r}: it has {', '.join(info.outputs)}")
        infos = [replace(info, scale=scale, output=name) for scale, name in zip(scales, names, strict=True)]
        images = [_run(self._upscaler(each), img) for each in infos]
        if isinstance(imgs_new, list):
            imgs_new.extend(images)
        return images

    def _prefer(self, backend: int, target: int) -> None:
        """Select the device that the constants name; if it is unavailable, warn and use the CPU, or raise."""
        name = devices.meant(backend, target)
        try:
            if name is None:
                raise DeviceError(
                    f"OpenCV's back end {backend} with target {target} is not a device that cvsr supports."
                )
            devices.resolve(name)
            device = name
        except DeviceError as error:
            device = self._instead(name or "", error)
        with self._lock:
            self._backend, self._target, self._device = int(backend), int(target), device
            self._upscalers.clear()

    def _instead(self, name: str, error: DeviceError) -> str:
        """Return "cpu" after one warning for each kind of device, or raise if CVSR_STRICT is set."""
        if os.environ.get("CVSR_STRICT", "").strip().lower() in ("1", "true", "yes"):
            raise error
        kind = name.partition("-")[0]
        if kind not in self._warned:
            self._warned.add(kind)
            text = f"{error} Falling back to the CPU; with CVSR_STRICT=1 in the environment this is an error."
            warnings.warn(text, DeviceWarning, stacklevel=4)
        return "cpu"

    def _upscaler(self, info: ModelInfo, scale: float | None = None) -> Upscaler:
        scale = info.scale if scale is None else scale
        key = info.output, scale
        with self._lock:
            if key not in self._upscalers:
                try:
                    found = Upscaler(info, scale, device=self._device, **self._options)
                except DeviceError as error:  # the device is there, but gives wrong results for this network
                    found = Upscaler(info, scale, device=self._instead(self._device, error), **self._options)
                self._upscalers[key] = found
            return self._upscalers[key]

    def _info(self) -> ModelInfo:
        with self._lock:
            if self._checked is None:
                self._checked = model_check.resolved(self._facts, self._algo, self._scale)
            return self._checked


def DnnSuperResImpl_create() -> DnnSuperResImpl:  # noqa: N802
    """Return a new object without a model, as OpenCV's tutorials do."""
    return DnnSuperResImpl()


def _run(upscaler: Upscaler, img: Any) -> Image:
    """Return the enlarged image, of the kind that OpenCV's module returns."""
    if not isinstance(img, np.ndarray):
        return upscaler(img)  # raises the right error
    image: Image = img[:, :, 0] if img.ndim == 3 and img.shape[2] == 1 else img
    if image.dtype != np.float32:
        return upscaler(image)
    image = image * np.float32(1 / 255)
    original = upscaler.info.chroma == "dnn_superres" and upscaler.scale == upscaler.info.scale
    if image.ndim != 3 or image.shape[2] != 3 or not original:
        return processing.stored(upscaler(image), "uint8")
    # OpenCV's module rounds to 8 bits before it merges luma and chroma
    y, *chroma = cv2.split(cv2.cvtColor(image, cv2.COLOR_BGR2YCrCb))
    channels = [upscaler(y), *(processing.upsampled(channel, upscaler.info, exact=False) for channel in chroma)]
    return cv2.cvtColor(cv2.convertScaleAbs(cv2.merge(channels), alpha=255), cv2.COLOR_YCrCb2BGR)


def _written(large: Image, result: Any) -> Image:
    """Return ``result`` with the image in it, or the image itself if it does not fit."""
    if not isinstance(result, np.ndarray):
        raise ImageError(f"result must be a numpy array to write into, or None, not {type(result).__name__}")
    into: Image = result
    if (into.shape, into.dtype) != (large.shape, large.dtype):
        return large
    np.copyto(into, large)
    return into
