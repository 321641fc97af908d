"""The server's worker: check an upload's header, decode, enlarge and encode it, all within the limits."""

import functools
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from cvsr.batch.enlarge import write_picture
from cvsr.batch.memory import Budget
from cvsr.errors import Cancelled, FileError, MemoryBudgetError
from cvsr.image import interpolation
from cvsr.io import formats, header, reader
from cvsr.io.formats import Format
from cvsr.io.interface import BrokenFileError, Header, UnknownFormatError
from cvsr.machine import MB
from cvsr.modelfiles import zoo
from cvsr.options import Options
from cvsr.serve.limits import RESULT, Limits, Refusal
from cvsr.upscaler import Upscaler

_DECODING = 4  # bytes that a decoder takes at most for each of the picture's: progressive JPEGs, animated PNGs


@dataclass(frozen=True)
class Encoded:
    """A result: an encoded picture in a temporary file; ``seconds`` is the time for it, with decoding and encoding."""

    stream: BinaryIO
    bytes: int
    format: str
    width: int
    height: int
    model: str
    seconds: float


def models(extra: str) -> dict[str, str]:
    """Return the model names that a request may use, and the model of each: those of ``cvsr models``, and ``extra``."""
    names = [*zoo.families(), *(entry.name for entry in zoo.models()), *interpolation.METHODS]
    found = {name: name for name in names}
    if extra not in found:  # the command line may name a file: requests use the name of its model
        found[next(iter(zoo.find(extra).values())).name] = extra
    return found


class Worker:
    """Enlarges one upload after the other. Not for several threads at a time."""

    def __init__(self, limits: Limits, names: dict[str, str], device: str) -> None:
        self._limits, self._names, self._device = limits, names, device
        self._upscaler = functools.lru_cache(maxsize=4)(self._made)
        self._budget: Budget | None = None

    def warmup(self, model: str) -> str:
        """Load a model, determine the memory that is left, and return the device."""
        upscaler = self._upscaler(model, 2.0)
        upscaler.warmup()
        self._budget = self._limits.budget()
        return str(upscaler.ran_on.device)

    def _made(self, model: str, scale: float) -> Upscaler:
        path = self._names[model]
        return Upscaler(path, scale, device="auto" if path in interpolation.METHODS else self._device)

    def __call__(self, data: bytearray, options: Options, cancel: Callable[[], bool]) -> Encoded:
        """Return an upload enlarged by the model and scale, and in the format and quality, of ``options``.

        Raise Refusal, also if ``cancel`` returns True or time is up.
        """
        start = time.monotonic()

        def late() -> bool:
            return cancel() or time.monotonic() - start > self._limits.timeout

        try:
            head = header.read(memoryview(data))
            self._check(head, options.scale or 2.0, len(data))
            if late():
                raise Cancelled("before it began")
            picture = reader.decode(np.frombuffer(data, np.uint8), "the upload")
            format = formats.FORMATS[options.format or _like(head.suffix)]
            result, width, height = self._enlarged(picture, options, format, late)
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
        return Encoded(result, size, format.name, width, height, str(options.model), time.monotonic() - start)

    def _check(self, head: Header, scale: float, size: int) -> None:
        """Raise Refusal or MemoryBudgetError if a picture is too large to be decoded or enlarged."""
        most = self._limits.pixels
        if head.pixels > most:
            raise Refusal(413, f"it has {head.width}x{head.height} pixels, and the limit is {most}; send a part of it")
        if head.pixels * scale**2 > RESULT * most:
            raise Refusal(
                413, f"{head.width}x{head.height} pixels times {scale:g} exceed {RESULT * most}; use a lower scale"
            )
        assert self._budget is not None, "warmup comes first"
        need = head.pixels * head.pixel * _DECODING + 2 * size
        if self._budget.base + need > self._budget.limit:
            raise MemoryBudgetError(
                f"decoding it may take {need // MB} MB, and the limit for one image is "
                f"{(self._budget.limit - self._budget.base) // MB} MB"
            )

    def _enlarged(
        self, picture: reader.Picture, options: Options, format: Format, cancel: Callable[[], bool]
    ) -> tuple[BinaryIO, int, int]:
        assert self._budget is not None, "warmup comes first"
        upscaler = self._upscaler(str(options.model), options.scale or 2.0)
        stream: Any = tempfile.TemporaryFile()  # noqa: SIM115 - closed after it is sent
        try:
            width, height = write_picture(
                picture, format, stream, upscaler, budget=self._budget, quality=options.quality, cancel=cancel,
            )  # fmt: skip
        except BaseException:
            stream.close()
            raise
        return stream, width, height


def _like(suffix: str) -> str:
    """Return the name of the format of the result for an upload's suffix."""
    found = formats.format_of(suffix)
    return found.name if found and found.served else "png"
