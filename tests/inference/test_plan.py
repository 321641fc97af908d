"""Plans: the chain of model scales, and tiles and segments within a memory budget."""

from __future__ import annotations

import re

import numpy as np
import pytest

import cvsr
from cvsr import machine
from cvsr.errors import MemoryBudgetError, ModelError, OptionError
from cvsr.inference import plan, processing, segments
from cvsr.inference.plan import SegmentPlan
from cvsr.inference.segments import Segment
from cvsr.modelfiles.info import ModelInfo

SMALL = ModelInfo("small", 2, radius=5, width=16, tail="subpixel")


@pytest.fixture(autouse=True)
def cache(monkeypatch):
    monkeypatch.setattr(machine, "cache", lambda: 2**20)


def planned(size, info=SMALL, *, threads=1, tile=None, max_memory=None, best=None):
    return plan.tiles(info, size, 3, threads=threads, tile=tile, max_memory=max_memory, best=best)


@pytest.mark.parametrize(
    ("scales", "factor", "expected"),
    [
        ([2, 3, 4], 2, [2]),
        ([2, 3, 4], 1.5, [2]),
        ([2, 3, 4], 2.5, [3]),
        ([2, 3, 4], 8, [4, 2]),
        ([2, 3, 4], 5, [3, 2]),
        ([2, 3, 4], 9, [3, 3]),
        ([2, 3, 4], 64, [4, 4, 4]),
        ([2], 3, [2, 2]),
        ([4], 1.5, [4]),
        ([2, 3], 1, []),
        ([2, 3], 0.3, []),
        ([3], 3 + 1e-12, [3]),
        ([2, 3], 3.001, [2, 2]),
    ],
)
def test_chain_takes_the_fewest_scales_and_of_these_the_smallest(scales, factor, expected):
    assert plan.chain(scales, factor) == expected


def test_a_model_that_does_not_enlarge_cannot_reach_a_scale():
    with pytest.raises(ModelError, match="cannot reach a scale of 2"):
        plan.chain([1], 2)


@pytest.mark.parametrize(
    ("size", "tile", "expected"),
    [
        ((64, 64), 64, (64, 64)),
        ((65, 63), 64, (64, 63)),
        ((63, 65), 64, (63, 64)),
        ((10, 7), 64, (10, 7)),
        ((1, 1), 1, (1, 1)),
        ((300, 200), 0, (300, 200)),
    ],
)
def test_a_tile_is_no_larger_than_the_image(size, tile, expected):
    assert planned(size, tile=tile).tile == expected


@pytest.mark.parametrize(
    ("radius", "halo"), [(0, processing.CHROMA_HALO), (1, processing.CHROMA_HALO), (7, 7), (40, 40)]
)
def test_the_halo_is_the_radius_but_never_less_than_interpolated_chroma_needs(radius, halo):
    assert planned((500, 500), ModelInfo("net", 2, radius=radius)).halo == halo


@pytest.mark.parametrize(
    ("radius", "width", "side"),
    [(5, 16, 192), (5, 32, 160), (5, 64, 128), (16, 64, 128), (17, 64, 136), (100, 64, 512)],
)
def test_without_a_budget_the_side_depends_on_width_and_radius(radius, width, side):
    info = ModelInfo("net", 2, radius=radius, width=width)
    assert plan.side(info, None) == side
    assert planned((2000, 2000), info).tile == (side, side)


def test_a_requested_side_is_used_as_it_is():
    assert plan.side(SMALL, 77) == 77 and plan.side(SMALL, 0) == 0
    assert planned((2000, 2000), tile=77, best=48).tile == (77, 77)
    with pytest.raises(MemoryBudgetError):
        planned((2000, 2000), tile=1000, max_memory=20 << 20)
    assert planned((2000, 2000), max_memory=20 << 20).tile[0] < 1000


def test_a_larger_budget_never_gives_smaller_tiles():
    found = []
    for budget in range(1 << 19, 80 << 20, 1 << 18):
        try:
            found.append(planned((700, 900), threads=4, max_memory=budget))
        except MemoryBudgetError:
            assert not found, "a smaller budget was enough"
    sides = [each.tile[0] for each in found]
    assert sides == sorted(sides) and set(sides) == {16, 32, 48, 64, 80, 96, 128, 160, 192}
    assert found[-1].workers == 4


def test_fewer_workers_are_tried_before_smaller_tiles():
    plans = (planned((700, 900), threads=4, max_memory=size << 20) for size in range(80, 0, -1))
    tighter = next(each for each in plans if each.workers < 4)
    assert tighter.tile == planned((700, 900), threads=4).tile and tighter.workers == 3


def test_the_least_budget_that_the_error_names_is_enough():
    with pytest.raises(MemoryBudgetError, match=r"leaves 1 MB: raise it$") as caught:
        planned((90_000, 90_000), threads=4, max_memory=1 << 20)
    least = int(re.search(r"at least (\d+) MB", str(caught.value))[1])
    assert planned((90_000, 90_000), threads=4, max_memory=(least + 1) << 20).tile == (16, 16)
    with pytest.raises(MemoryBudgetError):
        planned((90_000, 90_000), threads=4, max_memory=(least - 1) << 20)


def test_more_pixels_more_bytes_a_pixel_and_larger_scales_need_more():
    def least(size=(3000, 3000), pixel=3, scale=2):
        info = ModelInfo("net", scale, radius=5, width=16, tail="subpixel")
        with pytest.raises(MemoryBudgetError) as caught:
            plan.tiles(info, size, pixel, threads=1, tile=None, max_memory=1)
        return int(re.search(r"at least (\d+) MB", str(caught.value))[1])

    assert least((6000, 3000)) > least() == least((3000, 9000)), "only rows of tiles are kept"
    assert least(pixel=12) > least() and least(scale=4) > least()


def test_narrow_images_have_several_rows_of_tiles_together():
    assert planned((64, 5000), tile=64, threads=4).group == 32
    assert planned((65, 5000), tile=64, threads=4).group == 16
    assert planned((64 * 40, 5000), tile=64, threads=4).group == 1
    assert planned((64, 5000), tile=64, threads=1).group == 8
    assert 1 <= planned((64, 5000), tile=64, threads=4, max_memory=10 << 20).group < 32


def test_a_network_without_a_known_radius_runs_on_the_whole_image():
    info = ModelInfo("global", 2, radius=None, width=8)
    assert plan.side(info, None) == 0
    assert planned((300, 200), info).tile == planned((300, 200), info, tile=300).tile == (300, 200)
    assert planned((300, 200), info, best=48).tile == (300, 200)
    with pytest.raises(OptionError, match="whole image only"):
        planned((300, 200), info, tile=299)
    with pytest.raises(MemoryBudgetError, match="a model with a known receptive field could run in tiles"):
        planned((300, 200), info, max_memory=1 << 20)


def test_a_whole_image_that_needs_much_memory_gets_a_warning_unless_there_is_a_budget(recwarn):
    info = ModelInfo("global", 2, radius=None, width=64)
    planned((500, 500), info)
    planned((2000, 2000), info, max_memory=1 << 40)
    assert not recwarn.list
    with pytest.warns(RuntimeWarning, match="about .* MB for 2000x2000 pixels. Set max_memory"):
        planned((2000, 2000), info)


def segment(channels=64, radius=4, inputs=("x",)):
    return Segment(b"", inputs, ("y",), (channels,), radius)


@pytest.mark.parametrize(
    ("rows", "channels", "expected"),
    [(96, 64, 96), (96, 3, 96), (96, 128, 48), (96, 65, 94), (16, 64, 16), (16, 256, 8), (16, 4096, 8)],
)
def test_segments_with_more_channels_compute_fewer_rows_at_a_time(rows, channels, expected):
    assert SegmentPlan(128, rows, 8).rows_of(segment(channels)) == expected


def test_an_image_of_one_tile_does_not_run_in_segments():
    parts = [segment()] * 5
    info = ModelInfo("deep", 2, radius=20)
    for size in ((128, 128), (1, 1), (5, 128)):
        assert plan.segments(info, parts, size, max_memory=None) is None
    for size in ((129, 1), (1, 129)):
        assert plan.segments(info, parts, size, max_memory=None) == SegmentPlan(128, 96, 24)


def test_wide_images_and_small_budgets_give_fewer_rows_and_then_none():
    parts, info = [segment()] * 5, ModelInfo("deep", 2, radius=20)

    def rows(width, budget):
        how = plan.segments(info, parts, (width, 500), max_memory=budget)
        return how.rows if how else 0

    by_width = [rows(width, None) for width in (200, 1000, 3000, 5000, 9000, 100_000)]
    by_budget = [rows(1000, size << 20) for size in (400, 60, 40, 30, 20, 1)]
    for found in (by_width, by_budget):
        assert found == sorted(found, reverse=True) and found[0] == 96 and found[-1] == 0 and len(set(found)) > 3


def test_skips_and_wide_maps_need_more_memory():
    info = ModelInfo("deep", 2, radius=20)

    def least(parts):
        return next(n for n in range(1, 999) if plan.segments(info, parts, (2000, 500), max_memory=n << 20))

    plain = least([segment()] * 5)
    assert least([segment()] * 4 + [segment(inputs=("x", "y"))]) > plain
    assert least([segment(128)] * 5) > plain and least([segment(radius=8)] * 5) > plain


def test_a_network_that_reads_the_enlarged_image_has_lower_bands():
    parts = [segment()] * 5
    how = plan.segments(ModelInfo("vdsr", 2, radius=20, inputs="bicubic"), parts, (200, 200), max_memory=None)
    assert (how.rows, how.band) == (96, 12)
    how = plan.segments(ModelInfo("vdsr", 4, radius=20, inputs="bicubic"), parts, (200, 200), max_memory=None)
    assert (how.rows, how.band) == (96, 8)


def test_a_small_budget_gives_lower_bands_and_then_tiles(deep):
    info = cvsr.open_model(deep["residual"])
    parts = segments.cut(deep["residual"].read_bytes(), 20)
    rows = [plan.segments(info, parts, (2000, 2000), max_memory=size << 20) for size in (200, 60, 1)]
    assert rows[0].rows > rows[1].rows > 0 and rows[2] is None
    assert plan.segments(info, parts, (128, 100), max_memory=None) is None, "one tile is enough"
    with pytest.raises(MemoryBudgetError):
        cvsr.Upscaler(deep["chain"], 2, max_memory=1000)(np.zeros((300, 300, 3), np.uint8))
