"""One file becomes one file, whatever is in it: a picture, a stack, a map, or more than fits into memory.

``upscale_file`` is public; ``Enlarger`` keeps the network for many files; ``write_picture`` enlarges and encodes a
decoded picture, for the server too.
"""

import math
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import BinaryIO

import numpy as np

from cvsr.batch import jobs, large
from cvsr.batch.jobs import PIPE, Input, Job
from cvsr.batch.memory import Budget
from cvsr.errors import Cancelled, FileError, OptionError
from cvsr.inference.stages import Report
from cvsr.io import atomic, encoder, formats, reader
from cvsr.io.formats import Format
from cvsr.io.reader import Picture
from cvsr.machine import peak, resident
from cvsr.modelfiles.info import ModelInfo
from cvsr.options import Options, memory_size
from cvsr.upscaler import Upscaler

_PORTION = 1 << 20  # rows are converted and written in portions of about this many bytes, however high a band is


def upscale_file(
    source: str | PathLike[str],
    target: str | PathLike[str] | None = None,
    scale: float = 2,
    *,
    size: tuple[int, int] | None = None,
    model: str | PathLike[str] | ModelInfo = "auto",
    device: str = "auto",
    format: str | None = None,
    quality: int | None = None,
    max_memory: int | str | None = None,
    exact: bool = False,
    effort: str = "full",
    normalize: bool | tuple[float, float] = False,
    overwrite: bool = False,
    progress: Report | None = None,
    cancel: Callable[[], bool] | None = None,
) -> Path:
    """Enlarge an image file into another file, and return the path of the result.

    Pictures keep their bit depth, alpha, EXIF and color profile as far as the format holds them; TIFF stacks and
    GeoTIFF maps keep their pages, bands, metadata and coordinates (extras ``tiff`` and ``geo``). What a format cannot
    hold is logged by the logger "cvsr". The result appears once it is complete; after an error there is none.

    :param source: any image file that OpenCV reads, or a TIFF of many pages or more pixels than fit into memory.
    :param target: the file to write, or a folder (one that exists, or a name that ends in "/"). Default: beside the
        source, ``photo_x2.png`` for ``photo.png``, with PNG instead of formats that cannot be written.
    :param scale: how much larger, any number above 0 and at most 64.
    :param size: (width, height) of the result in pixels, instead of ``scale``.
    :param model: a name (``cvsr models`` lists them), a model file, a folder of them, or an interpolation.
    :param device: "auto", or one of ``cvsr.devices.NAMES``.
    :param format: "png", "jpg", "tiff" …; default: that of the target's suffix.
    :param quality: 1 to 100, of lossy formats; default 95.
    :param max_memory: the most memory that the whole process may use, in bytes or as "512M".
    :param exact: give the same bits whatever the tiles and the version of OpenCV; slower.
    :param effort: "full", or "fast" to interpolate tiles without detail.
    :param normalize: for TIFF files: True maps the lowest value to black and the highest to white, a pair gives the
        two; the result is in the file's units again. False does so only for values that are not those of photos.
    :param overwrite: replace a target that exists.
    :param progress: called with :class:`cvsr.Progress` during the work.
    :param cancel: called during the work; if it returns True, Cancelled is raised.
    :raises FileError: the source cannot be read, the target cannot be written or exists, or is the source itself.
    :raises OptionError: an option makes no sense, or a package is missing that the file needs.
    :raises ImageError: the samples are not those of an image, such as floats beyond 0..1.
    :raises ModelError, DeviceError, MemoryBudgetError, Cancelled: see :mod:`cvsr.errors`.
    """
    if size is not None and scale != 2:
        raise OptionError("give scale or size, not both")
    if quality is not None and not 1 <= quality <= 100:
        raise OptionError(f"quality is {quality!r}: give a number from 1 to 100")
    options = Options(
        model, None if size else scale, size, device, format, quality, max_memory, exact, effort, normalize
    )
    enlarger = Enlarger(options)
    into_folder = target is not None and (os.fspath(target).endswith(("/", os.sep)) or Path(target).is_dir())
    output = None if target is None else _file(target)
    if output is not None and not into_folder:
        jobs.check_target(output, enlarger.format)
    [job] = jobs.plan([Input(_file(source))], options, output=output, into_folder=into_folder, overwrite=overwrite)
    if job.skip or job.refusal:
        raise FileError(f"{job.source}: {job.refusal or job.skip + ': pass overwrite=True to replace it'}")
    enlarger.enlarge(job, progress=progress, cancel=cancel)
    return job.target


def _file(path: str | PathLike[str]) -> Path:
    """Return a path that names a file, also if its name is that of a pipe."""
    return Path(path).absolute() if Path(path) == PIPE else Path(path)


class Enlarger:
    """Enlarges one file after the other, with one upscaler and within one memory budget.

    Several threads may use it at a time if there is no budget. Raise OptionError, ModelError, DeviceError.
    """

    def __init__(self, options: Options) -> None:
        limit = None if options.max_memory is None else memory_size(options.max_memory)
        self.options = options
        self.format = formats.format_named(options.format) if options.format else None
        self.upscaler = Upscaler(
            options.model, options.scale, size=options.size, device=options.device, exact=options.exact,
            effort=options.effort,
        )  # fmt: skip
        self._budget = Budget(limit, resident()) if limit else None

    def enlarge(
        self,
        job: Job,
        *,
        check: Callable[[], object] = lambda: None,
        progress: Report | None = None,
        cancel: Callable[[], bool] | None = None,
    ) -> None:
        """Read, upscale and write one file. Raise FileError, ImageError, MemoryBudgetError or Cancelled.

        ``check`` is called before the result gets its name, and may raise what speaks against that.
        """
        data = sys.stdin.buffer.read() if job.source == PIPE else job.source
        head = large.head_of(data)
        if head is not None:
            format, piped = self._format_for(job, ".tiff"), job.target == PIPE
            opened = large.opened(data, head, format, self.upscaler, self._budget, self.options, piped=piped)
            if opened is not None:
                with opened, _written(job.target, check) as stream:
                    opened.write(stream, progress, cancel)
                return
        picture = self._read(data)
        format = self._format_for(job, picture.suffix)
        with _written(job.target, check) as stream:
            write_picture(
                picture, format, stream, self.upscaler, budget=self._budget, quality=self.options.quality,
                progress=progress, cancel=cancel,
            )  # fmt: skip

    def _format_for(self, job: Job, suffix: str) -> Format:
        """Return the format to write, for a source of the format that ``suffix`` names."""
        suffix = formats.result_suffix(suffix) if job.target == PIPE else job.target.suffix
        format = self.format or formats.format_of(suffix)
        if format is None:
            raise FileError(f"{job.target}: OpenCV cannot write such files; use the format png")
        return format

    def _read(self, source: Path | bytes) -> Picture:
        before = peak()
        if isinstance(source, bytes):
            picture = reader.decode(np.frombuffer(bytearray(source), np.uint8), "stdin")
        else:
            picture = reader.read(source)
        if self._budget:
            self._budget.check_reading(before)
        return picture


def write_picture(
    picture: Picture,
    format: Format,
    stream: BinaryIO,
    upscaler: Upscaler,
    *,
    budget: Budget | None = None,
    quality: int | None = None,
    progress: Report | None = None,
    cancel: Callable[[], bool] | None = None,
) -> tuple[int, int]:
    """Enlarge a decoded picture, write it to ``stream`` in a format, and return its (width, height).

    Raise FileError if the format cannot hold it, ImageError, MemoryBudgetError, Cancelled.
    """
    image = encoder.fit(picture.image, format)
    dtype = encoder.dtype_for(image.dtype, format)
    width, height = upscaler.output_size(image.shape[1], image.shape[0])
    shape, whole = (height, width, *image.shape[2:]), upscaler.interpolates
    left = budget.left(image, math.prod(shape), dtype, format, in_memory=whole) if budget else None
    writer = encoder.open_writer(stream, format, shape, dtype, quality=quality, exif=picture.exif, icc=picture.icc)
    for band in upscaler.bands(image, max_memory=left, progress=progress, cancel=cancel):
        step = max(1, _PORTION // max(1, band[:1].nbytes))
        for start in range(0, band.shape[0], step):
            if cancel is not None and cancel():
                raise Cancelled("cancelled while the result was encoded")
            writer.write(encoder.convert(band[start : start + step], dtype))
    writer.close()
    return width, height


@contextmanager
def _written(target: Path, check: Callable[[], object]) -> Generator[BinaryIO, None, None]:
    with _stdout() if target == PIPE else atomic.atomic(target) as stream:
        yield stream
        check()


@contextmanager
def _stdout() -> Generator[BinaryIO, None, None]:
    """Gather a file that goes to standard output when it is complete: a reader gets all of it or nothing."""
    try:
        with tempfile.TemporaryFile() as stream:
            yield stream
            stream.seek(0)
            shutil.copyfileobj(stream, sys.stdout.buffer)
            sys.stdout.buffer.flush()
    except (FileError, BrokenPipeError):
        raise
    except OSError as error:
        raise FileError(f"standard output cannot be written: {error.strerror or error}") from error
