"""What the server does with an upload: read its head, decode it, enlarge it, encode it, all within its limits."""

from __future__ import annotations

import functools
import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from cvsr.batch.memory import Budget
from cvsr.errors import Cancelled, FileError, MemoryBudgetError
from cvsr.image import interpolation
from cvsr.io import encoder, formats, header, reader
from cvsr.io.formats import Format
from cvsr.io.interface import BrokenFileError, Header, UnknownFormatError
from cvsr.machine import MB
from cvsr.modelfiles import zoo
from cvsr.serve.limits import RESULT, Limits, Refusal
from cvsr.upscaler import Upscaler

_DECODING = 4  # bytes that a decoder takes at most for each of the picture's: progressive JPEGs, animated PNGs
_ROWS = 64  # rows to encode between two looks at whether somebody still waits for them


@dataclass(frozen=True)
class Order:
    """What a request asks for. ``format`` is "" for the upload's own, where results can be written in it."""

    scale: float
    model: str
    format: str = ""
    quality: int | None = None


@dataclass(frozen=True)
class Result:
    """An encoded picture in a file without a name; ``seconds`` is how long it took, decoding and encoding included."""

    stream: BinaryIO
    bytes: int
    format: str
    width: int
    height: int
    model: str
    seconds: float


def models(extra: str) -> dict[str, str]:
    """Return the names that a request may give and what they stand for: those of ``cvsr models``, and ``extra``'s."""
    names = [*zoo.families(), *(entry.name for entry in zoo.models()), *interpolation.METHODS]
    found = {name: name for name in names}
    if extra not in found:  # the owner of the server may name a file: requests get it by the name of its model
        found[next(iter(zoo.find(extra).values())).name] = extra
    return found


class Worker:
    """Turns one upload after the other into a result. Not for several threads at a time."""

    def __init__(self, limits: Limits, names: dict[str, str], device: str) -> None:
        self._limits, self._names, self._device = limits, names, device
        self._upscaler = functools.lru_cache(maxsize=4)(self._made)
        self._budget: Budget | None = None

    def warmup(self, model: str) -> str:
        """Load a model, reckon what memory is left, and return where it runs."""
        upscaler = self._upscaler(model, 2.0)
        upscaler.warmup()
        self._budget = self._limits.budget()
        return str(upscaler.ran_on.device)

    def _made(self, model: str, scale: float) -> Upscaler:
        path = self._names[model]
        return Upscaler(path, scale, device="auto" if path in interpolation.METHODS else self._device)

    def __call__(self, data: bytearray, order: Order, cancel: Callable[[], bool]) -> Result:
        """Return what ``order`` makes of an upload. Raise Refusal, also where ``cancel`` says that time is up."""
        start = time.monotonic()

        def late() -> bool:
            return cancel() or time.monotonic() - start > self._limits.timeout

        try:
            head = header.read(memoryview(data))
            self._check(head, order.scale, len(data))
            if late():
                raise Cancelled("before it began")
            picture = reader.decode(np.frombuffer(data, np.uint8), "the upload")
            format = formats.FORMATS[order.format or _like(head.suffix)]
            result, width, height = self._enlarged(picture, order, format, late)
        except UnknownFormatError as error:
            raise Refusal(415, f"{error}; convert it to PNG") from None
        except (BrokenFileError, FileError) as error:
            raise Refusal(422, str(error)) from None
        except MemoryError as error:
            raise Refusal(413, f"{error or 'there is not enough memory for it'}; send a smaller image") from None
        except Cancelled:
            raise Refusal(504, f"it took longer than {self._limits.timeout:g} seconds; send a smaller image") from None
        size = result.tell()
        result.seek(0)
        return Result(result, size, format.name, width, height, order.model, time.monotonic() - start)

    def _check(self, head: Header, scale: float, size: int) -> None:
        """Raise Refusal or MemoryBudgetError where a picture is too large to be decoded or enlarged."""
        most = self._limits.pixels
        if head.pixels > most:
            raise Refusal(
                413, f"it has {head.width}x{head.height} pixels, and {most} are taken here; send a part of it"
            )
        if head.pixels * scale**2 > RESULT * most:
            raise Refusal(
                413, f"{head.width}x{head.height} pixels enlarged by {scale:g} are more than {RESULT * most}; lower it"
            )
        assert self._budget is not None, "warmup comes first"
        need = head.pixels * head.pixel * _DECODING + 2 * size
        if self._budget.base + need > self._budget.limit:
            raise MemoryBudgetError(
                f"decoding it may take {need // MB} MB, and {(self._budget.limit - self._budget.base) // MB} MB are "
                "for one picture here"
            )

    def _enlarged(
        self, picture: reader.Picture, order: Order, format: Format, cancel: Callable[[], bool]
    ) -> tuple[BinaryIO, int, int]:
        image = encoder.fit(picture.image, format)
        dtype = encoder.dtype_for(image.dtype, format)
        upscaler = self._upscaler(order.model, order.scale)
        width, height = upscaler.output_size(image.shape[1], image.shape[0])
        shape = (height, width, *image.shape[2:])
        assert self._budget is not None, "warmup comes first"
        left = self._budget.left(image, math.prod(shape), dtype, format, in_memory=upscaler.interpolates)
        stream: Any = tempfile.TemporaryFile()  # noqa: SIM115 - closed by whoever sends it
        try:
            writer = encoder.open_writer(
                stream, format, shape, dtype, quality=order.quality, exif=picture.exif, icc=picture.icc
            )
            for band in upscaler.bands(image, max_memory=left, cancel=cancel):
                for top in range(0, band.shape[0], _ROWS):
                    if cancel():
                        raise Cancelled("while it was encoded")
                    writer.write(encoder.convert(band[top : top + _ROWS], dtype))
            writer.close()
        except BaseException:
            stream.close()
            raise
        return stream, width, height


def _like(suffix: str) -> str:
    """Return the name of the format of results for uploads of a suffix."""
    found = formats.format_of(suffix)
    return found.name if found and found.served else "png"
