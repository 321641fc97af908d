"""Run a network over a stage, tile by tile, in threads."""

import threading
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from cvsr._cv2 import cv2
from cvsr.image import PEAK, Image, tiles
from cvsr.inference import flat_tiles, processing
from cvsr.inference.plan import TilePlan
from cvsr.inference.stages import Resized, Stage, Watch
from cvsr.inference.tile_cache import TileMemory
from cvsr.modelfiles.info import ModelInfo
from cvsr.opencv import engines, threads

_SHALLOW = 8
"""Up to this radius, tiles of equal size gain more (a quarter for FSRCNN) than the wider halo at the edges costs."""


class TileNetwork(Protocol):
    """Computes the planes of a tile: :class:`cvsr.inference.network.Network`, or another runtime in a benchmark."""

    info: ModelInfo
    exact: bool

    def forward(self, blob: Image) -> Image:
        """Return the network's output for ``blob``, float32 (1, C, h, w)."""
        ...


@dataclass
class Upscaled:
    """The stage that enlarges another with a network, tile by tile; each tile is computed once."""

    source: Stage
    network: TileNetwork
    plan: TilePlan
    pool: Executor
    watch: Watch
    memory: TileMemory | None = None
    fast: bool = False  # flat tiles are interpolated
    size: tuple[int, int] = field(init=False)
    _done: dict[int, Image] = field(default_factory=dict[int, Image], init=False)

    def __post_init__(self) -> None:
        scale = self.network.info.scale
        self.size = (self.source.size[0] * scale, self.source.size[1] * scale)
        (width, height), (across, down) = self.source.size, self.plan.tile
        multiple = self.network.info.multiple
        grain = engines.grain(self.network.exact) if multiple == 1 else 1
        halo = self.plan.halo + (grain > 1)  # the last row is padding, and so must not matter
        alike = halo <= _SHALLOW
        self._down = tiles.spans(height, down, halo, multiple=multiple, grain=grain, alike=alike)
        self._across = tiles.spans(width, across, halo, multiple=multiple, grain=grain, alike=alike)
        self.watch.total += len(self._down) * len(self._across)
        self._slots = threading.BoundedSemaphore(self.plan.workers)  # the pool may be larger than the budget allows

    def rows(self, start: int, stop: int) -> Image:
        """Return the rows, from new tiles and those of earlier calls."""
        scale = self.network.info.scale
        needed = [i for i, s in enumerate(self._down) if s.stop * scale > start and s.start * scale < stop]
        for old in [i for i in self._done if i < needed[0]]:
            del self._done[old]
        missing = [i for i in needed if i not in self._done]
        while missing:
            first = missing[0]
            self._compute(range(first, min(first + self.plan.group, len(self._down))))
            missing = [i for i in needed if i not in self._done]
        top = self._down[needed[0]].start * scale
        bands = [self._done[i] for i in needed]
        whole = bands[0] if len(bands) == 1 else np.concatenate(bands)
        return whole[start - top : stop - top]

    def edges(self) -> list[int]:
        """Return where groups of rows of tiles end."""
        stops = [span.stop * self.network.info.scale for span in self._down]
        return [*stops[self.plan.group - 1 : -1 : self.plan.group], stops[-1]]

    def _compute(self, indices: Iterable[int]) -> None:
        todo = [tiles.Tile(self._down[i], across) for i in indices for across in self._across]
        first, last = todo[0].rows.begin, max(tile.rows.end for tile in todo)
        fed = self.source.rows(first, last)
        scale = self.network.info.scale
        made: dict[int, Image] = {}
        for i in indices:
            shape = ((self._down[i].stop - self._down[i].start) * scale, self.size[0], *fed.shape[2:])
            made[i] = np.empty(shape, fed.dtype)
        by_start = {self._down[i].start: made[i] for i in made}

        def run(tile: tiles.Tile) -> tiles.Tile:
            self.watch.check()
            columns = slice(tile.columns.start * scale, tile.columns.stop * scale)
            with self._slots:
                by_start[tile.rows.start][:, columns] = self._tile(fed, tile, first)
            return tile

        with threads.single_threaded(self.plan.workers > 1 and len(todo) > 1):
            for tile in self.pool.map(run, todo):
                self.watch.finished(tile)
        self._done |= made

    def _tile(self, fed: Image, tile: tiles.Tile, first: int) -> Image:
        rows = slice(tile.rows.begin - first, tile.rows.end - first)
        pixels = np.ascontiguousarray(fed[rows, tile.columns.feed])
        known = self.memory.recall(tile, pixels) if self.memory else None
        if known is not None:
            return known
        result = self._computed(pixels, tile)
        if self.memory:
            self.memory.keep(tile, pixels, result)
        return result

    def _computed(self, pixels: Image, tile: tiles.Tile) -> Image:
        info, dtype = self.network.info, pixels.dtype
        if tile.rows.extra or tile.columns.extra:
            more = (0, tile.rows.extra, 0, tile.columns.extra)
            pixels = cv2.copyMakeBorder(pixels, *more, cv2.BORDER_REPLICATE)
        if dtype == np.uint16:  # in floats, so that color is rounded once, at the end
            pixels = pixels * np.float32(1 / PEAK["uint16"])
        keep = (tile.rows.keep, tile.columns.keep)
        if self.fast and flat_tiles.is_flat(pixels):
            result = flat_tiles.enlarged(pixels, keep, info.scale)
        else:
            blob = processing.blob(pixels, info)
            output = self.network.forward(blob)
            result = processing.image(output, blob, pixels, keep, info, self.network.exact)
        return result if result.dtype == dtype else processing.stored(result, dtype.name)


def remember(stage: Stage, memory: Callable[[Hashable], TileMemory], key: tuple[int, ...]) -> None:
    """Give the networks on the way to a stage their memories of tiles, from its end to its start."""
    if isinstance(stage, Upscaled):
        stage.memory = memory(key)
    if isinstance(stage, Upscaled | Resized):
        remember(stage.source, memory, (*key, 0))
