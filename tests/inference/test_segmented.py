"""Deep networks run in segments: the same pixels as in one piece, whatever the bands, tiles and skip connections."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit import deepnets

import cvsr
from cvsr._cv2 import VERSION
from cvsr.errors import Cancelled
from cvsr.inference import segment_nets, stages
from cvsr.inference.plan import SegmentPlan
from cvsr.inference.segmented import Streamed


@pytest.mark.parametrize("name", deepnets.NAMES)
@pytest.mark.parametrize("how", [(16, 8), (40, 24), (1000, 1000)])
def test_the_result_equals_that_of_the_whole_network(name, how, deep, bands, photo):
    bands(*how)
    image = photo("astronaut")[30:91, 100:177]
    whole = cvsr.Upscaler(deep[name], 2, tile=0, exact=True)(image)
    upscaler = cvsr.Upscaler(deep[name], 2, exact=True)
    assert np.array_equal(upscaler(image), whole)
    assert isinstance(upscaler._execution.stage(stages.ImageSource(image), 2, 3, None, stages.Watch()), Streamed)
    assert np.abs(cvsr.Upscaler(deep[name], 2)(image).astype(int) - whole).max() <= 1


@pytest.mark.parametrize("kind", ["gray", "bgra", "uint16", "float32"])
@pytest.mark.parametrize("name", [name for name in deepnets.NAMES if name != "enlarged"])
def test_all_kinds_of_images(name, kind, deep, bands, photo):
    bands(24, 16)
    bgr = photo("astronaut")[30:91, 100:157]
    image = {
        "gray": lambda: bgr[:, :, 1],
        "bgra": lambda: np.dstack([bgr, np.where(bgr[:, :, 0] > 99, 255, 40).astype(np.uint8)]),
        "uint16": lambda: bgr.astype(np.uint16) * 257,
        "float32": lambda: bgr / np.float32(255),
    }[kind]()
    made = cvsr.Upscaler(deep[name], 2, exact=True)(image)
    assert np.array_equal(made, cvsr.Upscaler(deep[name], 2, tile=0, exact=True)(image))


def test_several_passes_and_a_scale_between_those_of_the_models(deep, bands, photo):
    bands(24, 16)
    image = photo("astronaut")[30:71, 100:147]
    for name, scale in (("chain", 4), ("enlarged", 3)):
        made = cvsr.Upscaler(deep[name], scale, exact=True)(image)
        assert np.array_equal(made, cvsr.Upscaler(deep[name], scale, tile=0, exact=True)(image))


@settings(max_examples=20, deadline=None)
@given(
    name=st.sampled_from(deepnets.NAMES), width=st.integers(1, 70), height=st.integers(1, 70),
    tile=st.integers(8, 40), rows=st.integers(1, 40), band=st.integers(1, 40),
)  # fmt: skip
def test_any_size_of_image_tile_and_band(deep, name, width, height, tile, rows, band):
    image = np.random.default_rng(width * 71 + height).integers(0, 256, (height, width, 3), np.uint8)
    upscaler = cvsr.Upscaler(deep[name], 2, exact=True)
    network = upscaler._execution.network(2)
    found = segment_nets.in_segments(network)
    watch, pool = stages.Watch(), upscaler._execution.pool()
    stage = Streamed(stages.ImageSource(image), found, SegmentPlan(tile, rows, band), pool, watch)
    made = np.concatenate([stage.rows(*edge) for edge in zip([0, *stage.edges()], stage.edges(), strict=False)])
    assert np.array_equal(made, cvsr.Upscaler(deep[name], 2, tile=0, exact=True)(image))
    assert watch.done == watch.total


def test_progress_and_cancel(deep, bands, photo):
    bands(24, 16)
    seen, upscaler = [], cvsr.Upscaler(deep["chain"], 2)
    image = photo("astronaut")[:64, :80]
    upscaler(image, progress=seen.append)
    assert [each.done for each in seen] == list(range(1, seen[0].total + 1))
    with pytest.raises(Cancelled):
        upscaler(image, cancel=lambda: True)
    assert upscaler(image).shape == (128, 160, 3)


@pytest.mark.skipif(VERSION < (4, 11, 0), reason="this OpenCV reads DepthToSpace for one size only")
def test_a_repeated_frame_is_not_computed_again(deep, photo, bands, monkeypatch):
    bands(24, 8)
    frame, other = photo("astronaut")[:50, :60].copy(), photo("chelsea")[:50, :60]
    upscaler = cvsr.Upscaler(deep["chain"], 2)
    film, wanted = cvsr.Sequence(upscaler), [upscaler(frame), upscaler(other)]
    runs, forward = [], segment_nets.SegmentNets.forward
    monkeypatch.setattr(segment_nets.SegmentNets, "forward", lambda *args: runs.append(1) or forward(*args))
    counts = []
    for shown, result in ((frame, 0), (frame, 0), (other, 1), (frame, 0)):
        made = film(shown)
        assert np.array_equal(made, wanted[result])
        made[:] = 0  # the caller's own
        counts.append(len(runs))
    assert 0 < counts[0] == counts[1] < counts[2] < counts[3]


def test_concurrent_threads_have_their_own_nets(deep, bands, photo):
    bands(24, 16)
    image, upscaler = photo("astronaut")[:64, :80], cvsr.Upscaler(deep["chain"], 2, exact=True)
    whole = upscaler(image)
    parts = upscaler._execution.segment_nets(upscaler._execution.network(2))
    assert len(parts._idle) == 1, "one after the other, they take the same"
    with ThreadPoolExecutor(3) as pool:
        assert all(np.array_equal(made, whole) for made in pool.map(upscaler, [image] * 9))
    assert 1 <= len(parts._idle) <= 3
