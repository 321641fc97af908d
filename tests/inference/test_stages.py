"""The stages without a network: a picture in memory and a resampled stage; progress and cancellation."""

from __future__ import annotations

import numpy as np
import pytest
from kit.recorded import Recorded

from cvsr.errors import Cancelled
from cvsr.image import PEAK, resample
from cvsr.image.tiles import Span, Tile
from cvsr.inference.stages import ImageSource, Progress, Resized, Watch

TILE = Tile(Span(0, 4, 0, 5), Span(0, 4, 0, 5))


def picture(height: int, width: int, channels: int = 3, dtype: str = "uint8") -> np.ndarray:
    shape = (height, width, 3) if channels == 3 else (height, width)
    return (np.random.default_rng(shape).random(shape) * PEAK[dtype]).astype(dtype)


def test_a_picture_in_memory_gives_views_of_its_rows():
    image = picture(9, 5)
    source = ImageSource(image)
    assert source.size == (5, 9) and source.edges() == [9]
    assert np.shares_memory(source.rows(2, 9), image) and np.array_equal(source.rows(2, 9), image[2:])


@pytest.mark.parametrize("dtype", PEAK)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("height", "size"), [(200, (31, 150)), (50, (90, 333)), (64, (64, 64)), (7, (1, 1)), (1, (9, 65))]
)
def test_rows_are_those_of_the_picture_resized_as_a_whole(height, size, channels, dtype):
    image = picture(height, 40, channels, dtype)
    stage = Resized(ImageSource(image), size)
    made = stage.rows(0, size[1])
    assert made.dtype == image.dtype and made.shape == (size[1], size[0], *image.shape[2:])
    peak = PEAK[dtype]
    expected = np.clip(resample.resize(image.astype(np.float32), size), 0, peak)
    assert np.abs(made - expected).max() <= (0.51 if dtype != "float32" else 1e-5)


@pytest.mark.parametrize("step", [1, 50, 64, 65, 256, 1000])
def test_bands_of_any_height_have_the_same_bits(step):
    image = picture(210, 20)
    stage = Resized(ImageSource(image), (33, 300))
    whole = stage.rows(0, 300)
    bands = [stage.rows(top, min(300, top + step)) for top in range(0, 300, step)]
    np.testing.assert_array_equal(np.concatenate(bands), whole)
    for start, stop in ((299, 300), (63, 65), (0, 1), (130, 290)):  # in any order, too
        np.testing.assert_array_equal(stage.rows(start, stop), whole[start:stop])


def test_only_the_rows_under_the_filter_are_read():
    source = Recorded(picture(2000, 4))
    Resized(source, (4, 1000)).rows(500, 520)
    [(start, stop)] = {(min(a for a, _ in source.requests), max(b for _, b in source.requests))}
    block = 500 - 500 % resample.BLOCK
    assert 2 * block - 8 <= start <= 2 * block - 3 and stop <= 2 * (block + 2 * resample.BLOCK) + 8


@pytest.mark.parametrize(("height", "edges"), [(1, [1]), (256, [256]), (257, [256, 257]), (600, [256, 512, 600])])
def test_bands_of_a_resized_stage_end_with_blocks(height, edges):
    assert Resized(ImageSource(picture(5, 5)), (5, height)).edges() == edges


@pytest.mark.parametrize(("done", "total", "share"), [(0, 4, 0), (1, 4, 0.25), (4, 4, 1), (5, 4, 1), (0, 0, 0)])
def test_share_is_between_0_and_1(done, total, share):
    assert Progress(done, total).share == share


def test_progress_as_a_part_of_several_steps():
    assert Progress(1, 4).as_part(2, 5) == Progress(2.25, 5)
    assert Progress(4, 4).as_part(4, 5) == Progress(5, 5)


def test_a_watch_counts_reports_and_cancels():
    seen, wanted = [], []
    watch = Watch(seen.append, lambda: bool(wanted), total=2)
    watch.check()
    watch.finished(TILE)
    assert seen == [Progress(1, 2, TILE)] and watch.done == 1
    wanted.append(True)
    with pytest.raises(Cancelled, match="cancelled after 1 of 2 tiles"):
        watch.check()
    silent = Watch()
    silent.check()
    silent.finished(TILE)
    assert silent.done == 1
