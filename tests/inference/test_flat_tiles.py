"""effort="fast": what has no detail is interpolated, the rest is as it would be."""

from __future__ import annotations

import numpy as np
import pytest

import cvsr
from cvsr.errors import OptionError
from cvsr.image.metrics import psnr
from cvsr.inference import flat_tiles
from cvsr.inference.network import Network


@pytest.fixture
def computed(monkeypatch):
    """The sizes of the tiles that networks compute."""
    seen, forward = [], Network.forward

    def counted(self, blob, *args):
        seen.append(blob.shape)
        return forward(self, blob, *args)

    monkeypatch.setattr(Network, "forward", counted)
    return seen


def screen(photo):
    """A window with a photo on an even background that JPEG has made a little uneven."""
    image = np.full((400, 500, 3), (200, 180, 90), np.uint8)
    image += np.random.default_rng(0).integers(0, 4, image.shape, np.uint8)
    image[20:90, 30:110] = photo("astronaut")[100:170, 200:280]
    return image


@pytest.mark.parametrize("scale", [2, 3])
@pytest.mark.parametrize("kind", ["bgr", "gray", "uint16", "float32"])
def test_only_tiles_with_detail_are_computed(scale, kind, photo, computed):
    image = screen(photo)
    image = {
        "bgr": lambda: image,
        "gray": lambda: image[:, :, 1],
        "uint16": lambda: image.astype(np.uint16) * 257,
        "float32": lambda: image / np.float32(255),
    }[kind]()
    full, fast = cvsr.Upscaler("cvsr-small", scale, tile=96), cvsr.Upscaler("cvsr-small", scale, effort="fast")
    computed.clear()
    made = fast(image)
    some, _ = len(computed), computed.clear()
    whole = full(image)
    assert (some, len(computed)) == (4, 30), "the photo lies in two columns of tiles, and in the halo of a second row"
    assert made.dtype == image.dtype and made.shape == whole.shape
    assert np.array_equal(made[: 96 * scale, : 96 * scale], whole[: 96 * scale, : 96 * scale])
    rest = np.abs(made.astype(float) - whole)[110 * scale :]
    assert 0 < rest.max() <= {"uint16": 257, "float32": 1 / 255}.get(kind, 1) * 6, "the background, interpolated"
    assert "flat ones interpolated" in fast.ran_on.plan


def test_photos_lose_next_to_nothing(photo):
    """They even gain up to 0.001 dB: interpolation amplifies noise less."""
    for name in ("astronaut", "coffee", "rocket"):
        reference = photo(name)
        reference = reference[: reference.shape[0] // 2 * 2, : reference.shape[1] // 2 * 2]
        small = cvsr.upscale(reference, 0.5, model="bicubic")
        full, fast = (psnr(cvsr.Upscaler("cvsr-small", 2, effort=e)(small), reference) for e in ("full", "fast"))
        assert abs(full - fast) < 0.002, name


def test_flat_is_within_four_steps():
    even = np.full((20, 20), 100, np.uint8)
    assert flat_tiles.is_flat(even)
    even[10, 10] += 4  # its mean rises by less than a step
    assert flat_tiles.is_flat(even) and flat_tiles.is_flat(even / np.float32(255))
    even[10, 10] += 2
    assert not flat_tiles.is_flat(even) and not flat_tiles.is_flat(even.astype(np.uint16) * 257)


def test_unknown_and_contradictory_efforts_raise():
    with pytest.raises(OptionError, match="effort is 'some': use 'full' or 'fast'"):
        cvsr.Upscaler("cvsr-small", 2, effort="some")
    with pytest.raises(OptionError, match="exact=True contradict each other"):
        cvsr.Upscaler("cvsr-small", 2, effort="fast", exact=True)
