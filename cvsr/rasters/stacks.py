"""Stacks, and pages larger than memory: TIFF to TIFF, page by page and row by row (extra ``tiff``).

:func:`cvsr.upscale_file` takes such files.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from cvsr.errors import FileError
from cvsr.inference.stages import Report
from cvsr.io.tiff import directories
from cvsr.io.tiff.writer import TiffWriter, needs_big
from cvsr.rasters import page_metadata
from cvsr.rasters.normalize import PORTION, Normalize, Scale, enlarged, scale_of, share_of
from cvsr.rasters.pages import Page, Pages, opened
from cvsr.upscaler import Upscaler

log = logging.getLogger("cvsr")


class Stack:
    """The pages of a TIFF file, a path or its bytes, open for reading; for ``with``. Raise FileError, OptionError."""

    def __init__(self, source: Path | bytes) -> None:
        self._name = "the data" if isinstance(source, bytes) else str(source)
        self._opened = opened(source)
        self._file: Any = self._opened.__enter__()
        try:
            self._file.filehandle.seek(0)
            head = directories.read(self._file.filehandle)
            if head is None or head.broken:
                raise FileError(f"{self._name} is not a TIFF file or was cut short: copy or download it again")
            self.pages = Pages(self._file, head, self._name)
            # all that is needed of all pages, in one pass: reading ten thousand directories takes seconds
            self._kinds = Counter((page.shape, page.dtype, page.memory) for page in self.pages)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Stack:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._opened.__exit__(None, None, None)

    def __len__(self) -> int:
        return len(self.pages)

    def scales(self, normalize: Normalize) -> dict[np.dtype[Any], Scale]:
        """Return how samples become a network's and back: one scale for all pages of a type. May read all of them."""
        if normalize and self.has_alpha:
            raise FileError(f"{self._name} has alpha, which cannot be normalized: omit normalize")
        kinds = {dtype for _, dtype, _ in self._kinds}
        return {kind: scale_of(self._of(kind), kind, normalize) for kind in kinds}

    def _of(self, dtype: np.dtype[Any]) -> Iterator[Page]:
        return (page for page in self.pages if page.dtype == dtype)

    def write(
        self,
        stream: BinaryIO,
        upscaler: Upscaler,
        *,
        normalize: Normalize = None,
        max_memory: int | str | None = None,
        progress: Report | None = None,
        cancel: Callable[[], bool] | None = None,
    ) -> None:
        """Write all pages enlarged to ``stream`` (seekable, empty), with their metadata; pixel sizes are made smaller.

        ``normalize``: None leaves unsigned integers, and floats that all lie in 0..1, unchanged; in other files, the
        lowest value of all pages is mapped to black and the highest to white, and the result is mapped back to the
        file's units. True always does that; a pair (low, high) gives the two values. NaN stays NaN. ``progress`` counts
        pages. Memory does not depend on their number, nor on their size if ``max_memory`` bounds it.
        """
        for lost in page_metadata.lost(self._file):
            log.warning("not kept in the result: %s", lost)
        scales = self.scales(normalize)
        big = needs_big(self.result_bytes(upscaler))
        if big and self._file.is_imagej:
            log.warning("the result is a BigTIFF of more than 4 GB: ImageJ opens it through Bio-Formats")
        writers: list[TiffWriter] = []
        for number, page in enumerate(self.pages):
            size = upscaler.output_size(page.shape[1], page.shape[0])
            writer = TiffWriter(
                stream,
                (size[1], size[0], *page.shape[2:]),
                page.dtype,
                tags=page_metadata.tags(page, self._file, upscaler.output_size),
                deflate=not page.uncompressed,
                predict=not self._file.is_imagej,  # ImageJ knows no prediction under deflate
                one_strip=self._file.is_imagej,
                big=big,
                first=not writers,
            )
            report = progress and share_of(progress, number, len(self))
            for rows in enlarged(page, scales[page.dtype], upscaler, max_memory, report, cancel):
                writer.write(rows)
            writer.flush()
            writers.append(writer)
        # after all pixels: ImageJ reads only the first directory and assumes that the pages follow each other
        for before, writer in zip([None, *writers], writers, strict=False):
            writer.close(before)

    def result_bytes(self, upscaler: Upscaler) -> int:
        """Return the bytes of the samples of all pages of the result."""

        def one(shape: tuple[int, ...]) -> int:
            return math.prod((*upscaler.output_size(shape[1], shape[0]), *shape[2:]))

        return sum(one(shape) * dtype.itemsize * count for (shape, dtype, _), count in self._kinds.items())

    @property
    def has_alpha(self) -> bool:
        """Tell whether a page has alpha, which is enlarged separately from the color."""
        return any(shape[2:] == (4,) for shape, _, _ in self._kinds)

    def memory(self) -> int:
        """Return about how many bytes reading and writing need at most, in addition to the upscaler's."""
        return max(memory + _working_memory(shape, dtype) for shape, dtype, memory in self._kinds)


def _working_memory(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    """Return the bytes of the rows that are read ahead, as the file's samples and as the network's, and written."""
    sample = max(4 if dtype.kind in "fi" else 1, dtype.itemsize)
    return 3 * math.prod(shape[1:]) * sample * min(shape[0], 256) + 4 * PORTION
