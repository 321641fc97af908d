"""Run a deep network segment by segment on demand: feature maps exist only while a later segment needs them.

    rows of the image ── planes ── segment ── segment ── … ── segment ── rows of the result
                                      └────────── skip ──────────┘

Rows are requested from each segment from the top down. It computes the missing ones tile by tile across the width and
requests them, and a few more, from the segment before it. Only the few pixels of a segment's halo are computed twice.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

import numpy as np

from cvsr.image import PEAK, Image, tiles
from cvsr.inference import processing
from cvsr.inference.plan import SegmentPlan
from cvsr.inference.row_window import Window
from cvsr.inference.segment_nets import SegmentNets
from cvsr.inference.segments import Segment
from cvsr.inference.stages import Stage, Watch
from cvsr.opencv import engines, threads

_Item = TypeVar("_Item")
_COLUMNS = 256  # width of the tiles in which color is added


class _SegmentMaps:
    """A running segment: it reads windows of feature maps and fills those of its outputs.

    ``unit``: how many of its rows correspond to one row of the first segment.
    """

    def __init__(self, whole: Streamed, number: int, maps: dict[str, Window], unit: int) -> None:
        self._whole, self._number, self._unit = whole, number, unit
        self._segment = whole.nets.segments[number]
        self._sources = {name: maps[name] for name in self._segment.inputs}
        for window in self._sources.values():
            window.readers[self] = 0
        last = number == len(whole.nets.segments) - 1
        self._zoom = max(1, whole.zoom // unit) if last else 1  # an upsampling that is no shuffle: the last only
        self.windows = {name: Window(self._make, 1, self._zoom) for name in self._segment.outputs}
        self._width, self._height = whole.width * unit, whole.height * unit
        self._grain = engines.grain(whole.nets.exact)
        self._halo = self._segment.radius + (self._grain > 1)
        self._columns = tiles.spans(self._width, whole.tile, self._halo, grain=self._grain)
        self._rows = whole.how.rows_of(self._segment)
        self._done = 0

    def _make(self, stop: int) -> None:
        start, halo, zoom = self._done, self._halo, self._zoom
        stop = min(self._height, max(stop, start + self._rows))  # fewer rows would be mostly halo
        begin, end = max(0, start - halo), min(self._height, stop + halo)
        begin -= begin % self._grain
        fed = {name: window.rows(begin, end) for name, window in self._sources.items()}
        rooms: list[Image] = []
        rows = slice((start - begin) * zoom, (stop - begin) * zoom)
        for columns in self._columns:
            self._whole.watch.check()
            blobs = {name: np.ascontiguousarray(maps[:, :, columns.feed])[None] for name, maps in fed.items()}
            results = self._whole.nets.forward(self._number, blobs)
            # the number of channels is known now
            rooms = rooms or [
                window.grow(stop, (result.shape[1], 0, self._width * zoom))
                for window, result in zip(self.windows.values(), results, strict=True)
            ]
            kept = slice(columns.keep.start * zoom, columns.keep.stop * zoom)
            for room, result in zip(rooms, results, strict=True):
                room[:, :, columns.start * zoom : columns.stop * zoom] = result[0, :, rows, kept]
        self._done = stop
        del fed
        for window in self._sources.values():
            window.released(self, max(0, stop - halo - self._grain + 1))


class _Shuffle:
    """A pixel shuffle between two segments, in numpy: several times faster than in the network."""

    def __init__(self, whole: Streamed, segment: Segment, maps: dict[str, Window]) -> None:
        self._whole, self._scale = whole, segment.shuffle
        self._source = maps[segment.inputs[0]]
        self._source.readers[self] = 0
        self._window = Window(self._make, 1)
        self.windows = {segment.outputs[0]: self._window}
        self._channels = segment.channels[0]

    def _make(self, stop: int) -> None:
        scale = self._scale
        stop = -(-stop // scale) * scale  # whole rows of its input
        fed = self._source.rows(self._window.bottom // scale, stop // scale)
        room = self._window.grow(stop, (self._channels, 0, fed.shape[2] * scale))

        def move(channel: int) -> None:
            own = fed[channel * scale**2 : (channel + 1) * scale**2]
            room[channel] = processing.shuffle([np.ascontiguousarray(plane) for plane in own], scale)

        self._whole.spread(move, list(range(self._channels)))
        self._source.released(self, stop // scale)


class Streamed:
    """The stage that enlarges the rows of another with a network in segments."""

    def __init__(self, source: Stage, nets: SegmentNets, how: SegmentPlan, pool: Executor, watch: Watch) -> None:
        self.source, self.nets, self.watch = source, nets, watch
        self.how, self.tile = how, how.tile
        self._pool = pool
        info = nets.info
        self._unit = info.scale if info.inputs == "bicubic" else 1  # rows of the network's input for one of the image
        self.zoom = info.scale if info.tail == "image" and self._unit == 1 else 1
        width, height = source.size
        self.size = (width * info.scale, height * info.scale)
        self.width, self.height = width * self._unit, height * self._unit
        self._image = Window(self._read, 0)
        self._image.readers |= {self: 0, "planes": 0}
        maps = {nets.segments[0].inputs[0]: Window(self._prepare, 1)}
        self._planes = maps[nets.segments[0].inputs[0]]
        unit = 1
        for number, segment in enumerate(nets.segments):
            if segment.shuffle:
                maps |= _Shuffle(self, segment, maps).windows
                unit *= segment.shuffle
            else:
                maps |= _SegmentMaps(self, number, maps, unit).windows
        self._scale = unit  # of the last map relative to the first input
        self._maps = maps[nets.segments[-1].outputs[0]]
        self._maps.readers[self] = 0
        self._columns = tiles.spans(width, _COLUMNS, processing.CHROMA_HALO)
        self._bands = tiles.spans(height, how.band, processing.CHROMA_HALO)
        watch.total += len(self._columns) * len(self._bands)
        self._made: dict[int, Image] = {}

    def edges(self) -> list[int]:
        """Return where bands end."""
        return [band.stop * self.nets.info.scale for band in self._bands]

    def rows(self, start: int, stop: int) -> Image:
        """Return the rows, from new bands and those of earlier calls."""
        scale = self.nets.info.scale
        needed = [i for i, b in enumerate(self._bands) if b.stop * scale > start and b.start * scale < stop]
        for old in [i for i in self._made if i < needed[0]]:
            del self._made[old]
        for i in needed:
            if i not in self._made:
                self._made[i] = self._band(self._bands[i])
        parts = [self._made[i] for i in needed]
        whole = parts[0] if len(parts) == 1 else np.concatenate(parts)
        top = self._bands[needed[0]].start * scale
        return whole[start - top : stop - top]

    def spread(self, work: Callable[[_Item], None], items: list[_Item]) -> None:
        """Do the work for all items in the thread pool; check for cancellation before each."""

        def one(item: _Item) -> None:
            self.watch.check()
            work(item)

        with threads.single_threaded(len(items) > 1):
            for _ in self._pool.map(one, items):
                pass

    def _read(self, stop: int) -> None:
        start = self._image.bottom
        rows = self.source.rows(start, stop)
        self._image.grow(stop, rows.shape, rows.dtype)[:] = rows

    def _prepare(self, stop: int) -> None:
        """Fill the window of the network's input: planes of the image, or of its enlargement."""
        info, start, unit = self.nets.info, self._planes.bottom, self._unit
        height = self.source.size[1]
        first, last = start // unit, -(-stop // unit)
        halo = processing.CHROMA_HALO if unit > 1 else 0
        begin, end = max(0, first - halo), min(height, last + halo)
        pixels = _real(self._image.rows(begin, end))
        blob = processing.inputs(processing.blob(pixels, info), info, self.nets.exact)[0][0]
        room = self._planes.grow(stop, blob.shape)
        room[:] = blob[:, start - begin * unit : stop - begin * unit]
        self._image.released("planes", max(0, last - 1 - halo))

    def _band(self, band: tiles.Span) -> Image:
        """Return a band of the result: the network's planes, with the image's chroma if they are luma."""
        info, unit = self.nets.info, self._unit
        output = self._maps.rows(band.begin * unit * self._scale, band.end * unit * self._scale)
        pixels = self._image.rows(band.begin, band.end)
        scale, zoom = info.scale, max(self.zoom, unit)
        result = np.empty(((band.stop - band.start) * scale, self.size[0], *pixels.shape[2:]), pixels.dtype)

        def color(columns: tiles.Span) -> None:
            part = np.ascontiguousarray(pixels[:, columns.feed])
            real = _real(part)
            planes_of = output[None, :, :, columns.begin * zoom : columns.end * zoom]
            keep = (band.keep, columns.keep)
            made = processing.image(planes_of, processing.blob(real, info), real, keep, info, self.nets.exact)
            made = made if made.dtype == part.dtype else processing.stored(made, part.dtype.name)
            result[:, columns.start * scale : columns.stop * scale] = made
            self.watch.finished(tiles.Tile(band, columns))

        self.spread(color, self._columns)
        again = max(0, band.stop - processing.CHROMA_HALO)
        self._maps.released(self, again * unit * self._scale)
        self._image.released(self, again)
        return result


def _real(pixels: Image) -> Image:
    """Return pixels for :func:`cvsr.inference.processing.blob`: 16 bits in floats, so that color is rounded once."""
    return pixels * np.float32(1 / PEAK["uint16"]) if pixels.dtype == np.uint16 else pixels
