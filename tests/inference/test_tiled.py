"""The stage that runs a network tile by tile, with a network in numpy whose receptive field is known exactly."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from kit.processes import PATIENCE
from kit.recorded import Recorded

from cvsr.errors import Cancelled
from cvsr.inference import tiled
from cvsr.inference.plan import TilePlan
from cvsr.inference.stages import Resized, Watch
from cvsr.inference.tile_cache import TileMemory
from cvsr.inference.tiled import Upscaled
from cvsr.modelfiles.info import ModelInfo
from cvsr.opencv import engines


class BoxNetwork:
    """The mean over a square of ``radius`` with zeros beyond the edges, a little darker in each sub-pixel plane."""

    exact = True

    def __init__(self, scale: int, radius: int, color: str = "luma", multiple: int = 1) -> None:
        self.info = ModelInfo("box", scale, color=color, radius=radius, tail="subpixel", multiple=multiple)
        self.fed: list[tuple[int, ...]] = []

    def forward(self, blob: np.ndarray) -> np.ndarray:
        self.fed.append(blob.shape[2:])
        return self.computed(blob)

    def computed(self, blob: np.ndarray) -> np.ndarray:
        radius, planes = self.info.radius, self.info.scale**2
        side = 2 * radius + 1
        padded = np.pad(blob[0], ((0, 0), (radius, radius), (radius, radius)))
        height, width = blob.shape[2:]
        mean = sum(padded[:, y : y + height, x : x + width] for y in range(side) for x in range(side)) / side**2
        factors = 1 - np.arange(planes, dtype=np.float32) / (2 * planes)
        return (mean[:, None] * factors[:, None, None])[None].reshape(1, -1, height, width).astype(np.float32)

    def whole(self, image: np.ndarray) -> np.ndarray:
        """Return the result for a float32 image (H, W, 3) in the network's order of colors, without tiles."""
        (height, width, channels), scale = image.shape, self.info.scale
        planes = self.computed(image.transpose(2, 0, 1)[None]).reshape(channels, scale, scale, height, width)
        return planes.transpose(3, 1, 4, 2, 0).reshape(height * scale, width * scale, channels)


@pytest.fixture(autouse=True)
def grain(monkeypatch):
    """Tiles as with OpenCV 4.7 and later."""
    monkeypatch.setattr(engines, "grain", lambda exact: 1)


@pytest.fixture
def stage():
    """Give a function that returns the stage over an image; its threads end with the test."""
    with ThreadPoolExecutor(4) as pool:

        def over(image, network, tile, halo, *, workers=2, group=1, watch=None):
            plan = TilePlan((tile, tile), halo, workers, group)
            return Upscaled(Recorded(image), network, plan, pool, watch or Watch())

        yield over


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng((height, width)).random((height, width, 3), np.float32)


@pytest.mark.parametrize(
    ("height", "width"), [(5, 7), (16, 16), (32, 48), (33, 49), (31, 47), (1, 1), (1, 50), (50, 1), (17, 3)]
)
@pytest.mark.parametrize("scale", [1, 2, 3, 5])
@pytest.mark.parametrize("radius", [0, 3, 9])
def test_tiles_give_every_pixel_of_the_whole_image_once(stage, height, width, scale, radius):
    image, network, seen = noise(height, width), BoxNetwork(scale, radius, "bgr"), []
    made = stage(image, network, 16, radius, watch=Watch(lambda step: seen.append(step.tile)))
    assert made.size == (width * scale, height * scale) and made.edges()[-1] == height * scale
    np.testing.assert_array_equal(made.rows(0, height * scale), network.whole(image))
    times = np.zeros((height, width), int)
    for tile in seen:
        times[tile.rows.start : tile.rows.stop, tile.columns.start : tile.columns.stop] += 1
    assert (times == 1).all() and len(network.fed) == len(seen) == made.watch.total


@pytest.mark.parametrize("tile", [1, 2, 7])
def test_tiles_smaller_than_their_halo(stage, tile):
    image, network = noise(9, 10), BoxNetwork(2, 4, "bgr")
    np.testing.assert_array_equal(stage(image, network, tile, 4).rows(0, 18), network.whole(image))


@pytest.mark.parametrize("radius", [1, 4, 10])
def test_a_halo_of_the_radius_is_needed(stage, radius):
    image, network = noise(50, 50), BoxNetwork(2, radius, "bgr")
    assert not np.array_equal(stage(image, network, 16, radius - 1).rows(0, 100), network.whole(image))


def test_small_halos_give_tiles_of_one_size_and_large_ones_no_extra_pixels(stage):
    shapes = {}
    for halo in (8, 9):
        network = BoxNetwork(2, halo, "bgr")
        stage(noise(48, 64), network, 16, halo).rows(0, 96)
        shapes[halo] = set(network.fed)
    assert shapes[8] == {(32, 32)}
    assert shapes[9] == {(h, w) for h in (25, 34) for w in (25, 34)}


def test_old_opencvs_get_tiles_on_a_grid_of_16_and_one_more_pixel(stage, monkeypatch):
    monkeypatch.setattr(engines, "grain", lambda exact: 16)
    image, network = noise(70, 90), BoxNetwork(2, 3, "bgr")
    made = stage(image, network, 20, 3)
    np.testing.assert_array_equal(made.rows(0, 140), network.whole(image))
    for spans, length in ((made._down, 70), (made._across, 90)):
        assert all(span.begin % 16 == 0 and span.begin in (0, *range(span.start - 3)) for span in spans)
        assert all(span.end == length or (span.end % 16 == 0 and span.end > span.stop + 3) for span in spans)


@pytest.mark.parametrize("size", [(32, 48), (33, 47), (5, 3)])
def test_networks_that_need_multiples_get_whole_blocks(stage, size):
    image, network = noise(*size), BoxNetwork(2, 0, "bgr", multiple=4)
    made = stage(image, network, 16, 0).rows(0, 2 * size[0])
    np.testing.assert_array_equal(made, network.whole(image))
    assert all(side % 4 == 0 for shape in network.fed for side in shape)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_dtype_and_the_channels_are_kept(stage, dtype, channels):
    peak = {"uint8": 255, "uint16": 65535, "float32": 1}[dtype]
    real = noise(20, 30)[:, :, :channels].squeeze()
    image = (real * peak).astype(dtype) if dtype != "float32" else real
    network = BoxNetwork(2, 1, "bgr" if channels == 3 else "luma")
    made = stage(image, network, 16, 2).rows(0, 40)
    assert made.dtype == image.dtype and made.shape == (40, 60, *image.shape[2:])
    exact = network.whole(image.reshape(20, 30, -1) / np.float32(peak)) * peak
    assert np.abs(made.reshape(exact.shape) - exact).max() <= (0.501 if dtype != "float32" else 0)


@pytest.mark.parametrize("step", [1, 7, 32, 33, 90])
def test_bands_of_any_height_come_from_tiles_computed_once(stage, step):
    image, network = noise(45, 20), BoxNetwork(2, 2, "bgr")
    made = stage(image, network, 16, 2)
    bands = [made.rows(top, min(90, top + step)).copy() for top in range(0, 90, step)]
    np.testing.assert_array_equal(np.concatenate(bands), network.whole(image))
    assert len(network.fed) == made.watch.total == 3 * 2


def test_overlapping_requests_compute_no_tile_again_and_earlier_rows_are_forgotten(stage):
    image, network = noise(64, 10), BoxNetwork(2, 2, "bgr")
    made, whole = stage(image, network, 16, 2), network.whole(image)
    for start, stop, computed in ((0, 40, 2), (30, 64, 2), (60, 70, 3), (66, 128, 4), (0, 10, 5), (120, 128, 5)):
        np.testing.assert_array_equal(made.rows(start, stop), whole[start:stop])
        assert len(network.fed) == computed
        assert len(made._done) <= 3


def test_a_request_computes_no_tile_above_or_below_it(stage):
    image, network = noise(64, 10), BoxNetwork(2, 2, "bgr")
    np.testing.assert_array_equal(stage(image, network, 16, 2).rows(32, 64), network.whole(image)[32:64])
    assert len(network.fed) == 1


@pytest.mark.parametrize(("group", "edges"), [(1, [32, 64, 96, 128, 160]), (2, [64, 128, 160]), (9, [160])])
def test_groups_of_rows_of_tiles_are_computed_together(stage, group, edges):
    image, network = noise(80, 40), BoxNetwork(2, 3, "bgr")
    made = stage(image, network, 16, 9, group=group)
    assert made.edges() == edges
    for top, bottom in zip([0, *edges], edges, strict=False):
        made.rows(top, bottom)
    tops = [0, *edges[:-1]]
    assert made.source.requests == [(max(0, a // 2 - 9), min(80, b // 2 + 9)) for a, b in zip(tops, edges, strict=True)]


@pytest.mark.parametrize(("workers", "together"), [(1, False), (2, True)])
def test_no_more_tiles_are_computed_at_a_time_than_planned(stage, workers, together):
    """The pool has four threads; with two workers, each of the two tiles waits for the other to begin."""
    both, running = threading.Event(), []

    class Waiting(BoxNetwork):
        def forward(self, blob):
            running.append(1)
            if len(running) > 1:
                both.set()
            both.wait(PATIENCE if together else 0.1)
            running.pop()
            return super().forward(blob)

    stage(noise(16, 32), Waiting(2, 0, "bgr"), 16, 0, workers=workers).rows(0, 32)
    assert both.is_set() is together


def test_cancel_is_called_before_each_tile(stage):
    network = BoxNetwork(2, 0, "bgr")
    watch = Watch(cancel=lambda: len(network.fed) >= 2)
    made = stage(noise(96, 16), network, 16, 0, watch=watch)
    made.rows(0, 64)
    with pytest.raises(Cancelled, match="after 2 of 6 tiles"):
        made.rows(64, 96)
    assert len(network.fed) == 2


def test_a_memory_gives_back_tiles_whose_pixels_with_halo_are_the_same(stage):
    image, network, memory = noise(48, 48), BoxNetwork(2, 9, "bgr"), TileMemory()
    for changed, computed in ((None, 9), (None, 0), ((47, 47), 1), ((24, 24), 9), ((3, 20), 2)):
        if changed:
            image = image.copy()
            image[changed] += 1
        network.fed.clear()
        made = stage(image, network, 16, 9)
        made.memory = memory
        made.rows(0, 48)
        np.testing.assert_array_equal(made.rows(0, 96), np.clip(network.whole(image), 0, 1))
        assert len(network.fed) == computed, changed


def test_each_stage_of_a_chain_gets_a_memory_of_its_own(stage):
    first = stage(noise(8, 8), BoxNetwork(2, 0, "bgr"), 16, 0)
    second = Upscaled(first, BoxNetwork(2, 0, "bgr"), first.plan, first.pool, Watch())
    asked = {}
    tiled.remember(Resized(second, (10, 10)), lambda key: asked.setdefault(key, TileMemory()), (1,))
    assert len(asked) == 2 and all(key[0] == 1 for key in asked)
    assert first.memory is not second.memory and {id(first.memory), id(second.memory)} == set(map(id, asked.values()))
