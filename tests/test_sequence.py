"""Frames that follow each other: the same pictures as one by one, without computing what has not changed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cvsr
from cvsr.errors import ImageError
from cvsr.image import tiles
from cvsr.inference import processing
from cvsr.sequence import Sequence


@pytest.fixture(scope="module")
def upscaler():
    return cvsr.Upscaler("cvsr-small", 2, tile=32, threads=2)


def test_a_frame_as_before_costs_nothing(upscaler, photo):
    frame = photo("astronaut")[:96, :128]
    film = Sequence(upscaler)
    first = film(frame)
    assert (film.computed, film.reused) == (12, 0) and np.array_equal(first, upscaler(frame))
    assert np.array_equal(film(frame), first) and (film.computed, film.reused) == (12, 12)


def test_only_tiles_that_see_a_change_are_computed(upscaler, photo):
    frame = photo("astronaut")[:96, :128].copy()
    film = Sequence(upscaler)
    film(frame)
    frame[50, 50] ^= 1  # in the middle of a tile; the halo of those around it reaches it
    halo = max(upscaler.info.radius, processing.CHROMA_HALO)
    rows, columns = (tiles.spans(size, 32, halo) for size in (96, 128))
    touched = math.prod(sum(span.begin <= 50 < span.end for span in axis) for axis in (rows, columns))
    made = film(frame)  # the same array, changed in place, as cameras do
    assert film.computed == 12 + touched < 24
    assert np.array_equal(made, upscaler(frame))


@pytest.mark.parametrize("kind", ["gray", "bgra", "uint16", "float32"])
def test_all_kinds_of_images(upscaler, photo, kind):
    frame = photo("astronaut")[:64, :64]
    frame = {
        "gray": lambda: frame[:, :, 0],
        "bgra": lambda: np.dstack([frame, np.where(frame[:, :, 0] > 99, 255, 0).astype(np.uint8)]),
        "uint16": lambda: frame.astype(np.uint16) * 257,
        "float32": lambda: frame / np.float32(255),
    }[kind]()
    film, wanted = Sequence(upscaler), upscaler(frame)
    assert all(np.array_equal(film(frame), wanted) for _ in range(2)) and film.reused == film.computed


def test_several_passes_and_other_sizes(photo):
    frame = photo("astronaut")[:40, :56]
    for model, scale in (("cvsr-small", 6), ("cvsr-small", 2.5), ("bicubic", 2)):
        upscaler = cvsr.Upscaler(model, scale, tile=24)
        film = Sequence(upscaler)
        assert all(np.array_equal(film(image), upscaler(image)) for image in (frame, frame, frame[:30], frame))


def test_what_is_not_an_image_raises(upscaler):
    with pytest.raises(ImageError):
        Sequence(upscaler)(None)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 59), st.integers(0, 69), st.integers(0, 255)), max_size=6))
def test_any_changes_give_what_single_frames_give(changes):
    upscaler = cvsr.Upscaler("cvsr-small", 2, tile=24)
    film, frame = Sequence(upscaler), np.full((60, 70, 3), 90, np.uint8)
    for y, x, value in changes:
        frame[y : y + 3, x : x + 3] = value
        assert np.array_equal(film(frame), upscaler(frame))
