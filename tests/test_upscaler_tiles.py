"""An upscaler in tiles and bands: the same result as in one piece, progress, cancellation, memory budgets."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kit.pictures import PEAKS, colorful

import cvsr
from cvsr.errors import Cancelled, MemoryBudgetError


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    tile=st.integers(1, 48),
    scale=st.sampled_from([2, 3]),
    channels=st.sampled_from([(), (1,), (3,), (4,)]),
    dtype=st.sampled_from(list(PEAKS)),
    threads=st.sampled_from([1, 2]),
)
def test_tiled_equals_untiled(models, height, width, tile, scale, channels, dtype, threads):
    image = colorful((height, width, *channels), dtype)
    whole, tiled = (cvsr.Upscaler(models, scale, exact=True, tile=t, threads=threads)(image) for t in (0, tile))
    assert (whole == tiled).all(), "exact: bit for bit"
    whole, tiled = (cvsr.Upscaler(models, scale, tile=t, threads=threads)(image).astype(float) for t in (0, tile))
    assert np.abs(whole - tiled).max() <= {"uint8": 1, "uint16": 1, "float32": 1e-5}[dtype]


@pytest.mark.parametrize("scale", [1.5, 2, 5, 6.3])
def test_bands_together_equal_the_whole_result(models, scale):
    image = colorful((500, 61, 3), "uint8")
    upscaler = cvsr.Upscaler(models, scale, exact=True, tile=32, threads=1)
    bands = list(upscaler.bands(image))
    assert (np.concatenate(bands) == upscaler(image)).all()
    assert len(bands) > 1
    other = cvsr.Upscaler(models, scale, exact=True, tile=47)
    assert (other(image) == upscaler(image)).all(), "whatever the tiles, also through several networks and a resize"


def test_progress_counts_every_tile_once(models):
    seen = []
    cvsr.Upscaler(models, 6, tile=32)(colorful((50, 70, 4), "uint8"), progress=seen.append)
    assert [step.done for step in seen] == list(range(1, seen[-1].total + 1))
    first = 2 * 3  # tiles of the first network, for color and for alpha
    assert seen[-1].total == 2 * (first + len({(s.tile.rows, s.tile.columns) for s in seen}) - first)


def test_cancel_stops_between_tiles(models):
    seen = []
    upscaler = cvsr.Upscaler(models, 2, tile=16, threads=1)
    with pytest.raises(Cancelled, match="of 16 tiles"):
        upscaler(colorful((64, 64), "uint8"), progress=seen.append, cancel=lambda: len(seen) >= 3)
    assert 3 <= len(seen) < 16
    assert upscaler(colorful((64, 64), "uint8")).shape == (128, 128), "it can be used again"


def test_an_error_in_the_progress_callback_is_raised(models):
    def progress(_):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        cvsr.Upscaler(models, 2)(colorful((64, 64), "uint8"), progress=progress)


def test_a_small_budget_gives_smaller_tiles_and_the_same_result(models):
    image = colorful((300, 400, 3), "uint8")
    free, tight = cvsr.Upscaler(models, 2, exact=True), cvsr.Upscaler(models, 2, exact=True, max_memory="4M")
    steps, few = [], []
    assert (tight(image, progress=steps.append) == free(image, progress=few.append)).all()
    assert len(steps) > len(few)
    with pytest.raises(MemoryBudgetError, match="needs at least"):
        cvsr.Upscaler(models, 2, max_memory=1000)(image)


def test_a_budget_can_be_set_for_one_call(models):
    image, upscaler = colorful((60, 60, 3), "uint8"), cvsr.Upscaler(models, 2)
    for call in (upscaler, upscaler.bands, cvsr.Sequence(upscaler)):
        with pytest.raises(MemoryBudgetError, match="needs at least"):
            list(call(image, max_memory=1000))
    assert upscaler.max_memory is None
    assert (upscaler(image, max_memory="1G") == upscaler(image)).all()
