"""Upscaler: one model on one device, image in, image out; ``upscale`` is one line on top of it."""

from collections.abc import Callable, Hashable, Iterator
from os import PathLike

import numpy as np

from cvsr import options
from cvsr._cv2 import cv2
from cvsr.errors import DeviceError, MemoryBudgetError, OptionError
from cvsr.image import Image, check
from cvsr.inference import interpolated, opencv_superres, plan, tiled
from cvsr.inference.execution import Execution
from cvsr.inference.rows import Rows, color_and_alpha
from cvsr.inference.stages import Report, Resized, Stage, Watch
from cvsr.inference.tile_cache import TileMemory
from cvsr.modelfiles import zoo
from cvsr.modelfiles.info import ModelInfo
from cvsr.opencv import devices
from cvsr.opencv.ran_on import RanOn
from cvsr.options import memory_size


class Upscaler:
    """A model on a device; call it with an image to enlarge it. Safe to call from several threads.

    :param model: a name (``cvsr models`` lists them), the path of an .onnx or .pb file or of a folder of them, facts
        from :func:`cvsr.open_model`, or an interpolation ("nearest", "bilinear", "bicubic", "lanczos", "area").
    :param scale: any number above 0 and at most 64; default 2. Between the scales of the model's files, the next larger
        one is used, in several passes if none is large enough, and the result is reduced, antialiased bicubic.
    :param size: (width, height) of the result in pixels, instead of ``scale``.
    :param device: "auto", or one of ``cvsr.devices.NAMES``: a named device is used, or DeviceError is raised.
    :param max_memory: the most that a call may allocate on top of the image and the result, in bytes or as "512M".
    :param exact: make tiles give bit for bit what the whole image would, on every OpenCV (without it: within 1e-5 of
        the range, and one step of 8 bits); costs up to half the speed.
    :param tile: the side of tiles in pixels, 0 for none; default: chosen.
    :param threads: how many tiles to compute at a time; default: the number of OpenCV's threads.
    :param engine: "auto", or "superres" for OpenCV's own ``cv2.dnn_superres``: its models (.pb), 8 bits, on the CPU.
    :param tuned: use what ``cvsr tune`` has measured on this machine, unless ``tile`` or ``threads`` is given.
    :param effort: "full", or "fast" to interpolate tiles without detail (:mod:`cvsr.inference.flat_tiles`). It pays if
        more than a sixth of an image is flat, as in screenshots and drawings; deep networks, which run in segments, do
        not use it.
    :raises ModelError, DeviceError, OptionError: see :mod:`cvsr.errors`.
    """

    def __init__(
        self,
        model: str | PathLike[str] | ModelInfo = "auto",
        scale: float | None = None,
        *,
        size: tuple[int, int] | None = None,
        device: str = "auto",
        max_memory: int | str | None = None,
        exact: bool = False,
        tile: int | None = None,
        threads: int | None = None,
        engine: str = "auto",
        tuned: bool = True,
        effort: str = "full",
    ) -> None:
        if scale is not None and size is not None:
            raise OptionError("give scale or size, not both")
        self.scale = options.checked_scale(2 if scale is None else scale) if size is None else None
        self.size = options.checked_size(size) if size is not None else None
        if tile is not None and tile < 0:
            raise OptionError(f"tile is {tile}: give the side of a tile in pixels, or 0 for none")
        options.check_effort(effort, exact)
        self.engine = opencv_superres.check(engine, tile=tile, max_memory=max_memory)
        self.requested = devices.checked(device)
        self.exact, self.tile, self.effort = exact, tile, effort
        self.max_memory = None if max_memory is None else memory_size(max_memory)
        self.models = zoo.find(model)
        self._execution = Execution(self.models, self.requested, self.engine, exact, tile, threads, tuned, effort)
        if self.interpolates and self.requested not in ("auto", "cpu"):
            raise DeviceError(
                f"{self.info.name} is an interpolation, which runs on the CPU: use device='cpu' or 'auto'"
            )
        if self.interpolates and self.engine != "auto":
            raise OptionError(f"{self.info.name} is an interpolation, which has no engine: omit engine")
        if not self.interpolates:
            self._execution.network(self._usual_scale())  # so that a missing device is reported now

    def __repr__(self) -> str:
        size = f"size={self.size}" if self.size else f"scale={self.scale:g}"
        return f"<cvsr.Upscaler {self.info.name} {size} device={self.requested}>"

    @property
    def info(self) -> ModelInfo:
        """Return the facts of the model that runs first for this scale."""
        return self.models[self._usual_scale()]

    @property
    def interpolates(self) -> bool:
        """Whether the model is an interpolation."""
        return next(iter(self.models.values())).format == "interpolation"

    @property
    def ran_on(self) -> RanOn:
        """Return what really ran: OpenCV's version, engine, back end, target, the evidence, and the plan."""
        if self.interpolates:
            return RanOn(
                str(cv2.__version__), "none", "cv2.resize", "CPU", "cpu", self.requested, "an interpolation", 1
            )
        found = self._execution.ran_on(self._usual_scale())
        if found is None:
            self.warmup()
            found = self._execution.ran_on(self._usual_scale())
        if found is None:
            raise DeviceError("no forward has run")
        return found

    def warmup(self) -> None:
        """Load the networks and run each once, so that the first image takes no longer than the next."""
        self(np.zeros((32, 32, 3), np.uint8))

    def output_size(self, width: int, height: int) -> tuple[int, int]:
        """Return the (width, height) of the result for an image of that size."""
        if self.size is not None:
            return self.size
        scale = self.scale or 1
        return max(1, round(width * scale)), max(1, round(height * scale))

    def __call__(
        self,
        image: Image,
        *,
        max_memory: int | str | None = None,
        progress: Report | None = None,
        cancel: Callable[[], bool] | None = None,
    ) -> Image:
        """Return ``image`` enlarged, in the same kind.

        :param image: (H, W), (H, W, 1) gray, (H, W, 3) BGR or (H, W, 4) BGRA; uint8, uint16 or float32 in 0..1.
        :param max_memory: the memory limit of this call; default: the upscaler's.
        :param progress: called with :class:`cvsr.Progress` after each tile.
        :param cancel: called before each tile; if it returns True, Cancelled is raised.
        :raises ImageError: the array is not such an image.
        :raises OptionError, MemoryBudgetError, Cancelled: see :mod:`cvsr.errors`.
        """
        return self.picture(check(image), Watch(progress, cancel), max_memory=max_memory)

    def picture(
        self,
        image: Image,
        watch: Watch,
        memory: Callable[[Hashable], TileMemory] | None = None,
        *,
        max_memory: int | str | None = None,
    ) -> Image:
        """Return a checked image enlarged; ``memory`` gives each stage the tiles of the last image."""
        width, height = self.output_size(image.shape[1], image.shape[0])
        try:
            result = np.empty((height, width, *image.shape[2:]), image.dtype)
        except MemoryError as error:
            raise MemoryBudgetError(f"there is not enough memory for a result of {width}x{height} pixels") from error
        top = 0
        for band in self._bands(image, watch, max_memory, memory):
            result[top : top + len(band)] = band
            top += len(band)
        return result

    def bands(
        self,
        image: Image | Rows,
        *,
        max_memory: int | str | None = None,
        progress: Report | None = None,
        cancel: Callable[[], bool] | None = None,
    ) -> Iterator[Image]:
        """Yield the result in bands of rows from the top, so that it need not fit into memory.

        Nor need ``image``, if it gives rows on demand (:class:`cvsr.inference.rows.Rows`). The arguments and errors
        are those of :meth:`__call__`.
        """
        checked = image if isinstance(image, Rows) else check(image)
        yield from self._bands(checked, Watch(progress, cancel), max_memory)

    def _budget(self, max_memory: int | str | None) -> int | None:
        """Return the bytes that a call may take: its own limit, else the upscaler's."""
        if max_memory is None:
            return self.max_memory
        opencv_superres.check(self.engine, tile=self.tile, max_memory=max_memory)
        return memory_size(max_memory)

    def _bands(
        self,
        image: Image | Rows,
        watch: Watch,
        max_memory: int | str | None,
        memory: Callable[[Hashable], TileMemory] | None = None,
    ) -> Iterator[Image]:
        budget = self._budget(max_memory)
        size = self.output_size(image.shape[1], image.shape[0])
        stages: list[Stage] = []
        parts = color_and_alpha(image)
        for part, (source, pixel) in enumerate(parts):
            share = budget // len(parts) if budget else None
            stages.append(self._stages(source, pixel, size, share, watch))
            if memory is not None:
                tiled.remember(stages[-1], memory, (part,))
        top = 0
        for bottom in stages[0].edges():
            watch.check()
            rows = [stage.rows(top, bottom) for stage in stages]
            band = rows[0] if len(rows) == 1 else np.dstack(rows)
            yield band.reshape(bottom - top, size[0], *image.shape[2:])
            top = bottom

    def _stages(self, source: Stage, pixel: int, size: tuple[int, int], budget: int | None, watch: Watch) -> Stage:
        """Return the last stage of the way from ``source``, of ``pixel`` bytes a pixel, to ``size``, in a budget."""
        if self.interpolates:
            return interpolated.interpolated(source, size, self.info.name, budget, pixel)
        stage, chain = source, self._chain(*source.size, size)
        for scale in chain:  # all passes are at work at a time
            share = budget // len(chain) if budget else None
            stage = self._execution.stage(stage, scale, pixel, share, watch)
        return stage if stage.size == size else Resized(stage, size)

    def _chain(self, width: int, height: int, size: tuple[int, int]) -> list[int]:
        return plan.chain(
            list(self.models), max(size[0] / width, size[1] / height) if self.scale is None else self.scale
        )

    def _usual_scale(self) -> int:
        """Return the model scale that runs first; the smallest if the image's size decides."""
        scales = list(self.models)
        return scales[0] if self.scale is None or self.interpolates else (plan.chain(scales, self.scale) or scales)[0]


def upscale(
    image: Image,
    scale: float | None = None,
    *,
    size: tuple[int, int] | None = None,
    model: str | PathLike[str] | ModelInfo = "auto",
    device: str = "auto",
    max_memory: int | str | None = None,
    exact: bool = False,
    progress: Report | None = None,
    cancel: Callable[[], bool] | None = None,
) -> Image:
    """Return ``image`` enlarged, in the same kind.

    To enlarge more than one image, create an :class:`Upscaler` and call it: it keeps the network.

    :param image: (H, W), (H, W, 1) gray, (H, W, 3) BGR or (H, W, 4) BGRA; uint8, uint16 or float32 in 0..1.
    :param scale: the factor, any number above 0 and at most 64; default 2.
    :param size: (width, height) of the result in pixels, instead of ``scale``.
    :param model: a name (``cvsr models`` lists them), a model file, a folder of them, facts from
        :func:`cvsr.open_model`, or an interpolation such as "bicubic".
    :param device: "auto", or one of ``cvsr.devices.NAMES``.
    :param max_memory: the most memory to allocate on top of the image and the result, in bytes or as "512M".
    :param exact: give the same bits whatever the tiles and the version of OpenCV; slower.
    :param progress: called with :class:`cvsr.Progress` after each tile.
    :param cancel: called before each tile; if it returns True, Cancelled is raised.
    :raises ImageError: the array is not such an image.
    :raises OptionError, ModelError, DeviceError, MemoryBudgetError, Cancelled: see :mod:`cvsr.errors`.
    """
    upscaler = Upscaler(model, scale, size=size, device=device, max_memory=max_memory, exact=exact)
    return upscaler(image, progress=progress, cancel=cancel)
