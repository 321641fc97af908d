"""What counts as an image, and color under transparent pixels."""

import numpy as np
import pytest

from cvsr import image
from cvsr.errors import ImageError
from cvsr.image import fill


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1), (4, 5, 3), (4, 5, 4), (1, 1)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_every_kind_is_taken_as_it_is(shape, dtype):
    array = np.zeros(shape, dtype)
    assert image.check(array) is array


@pytest.mark.parametrize(
    ("bad", "hint"),
    [
        (None, "cv2.imread returns None"),
        ([[1, 2]], "numpy array, not list"),
        (np.zeros((3, 40, 50), np.uint8), "transpose"),
        (np.zeros((2, 40, 50, 3), np.uint8), "batch"),
        (np.zeros((40, 50, 2), np.uint8), "(40, 50, 2)"),
        (np.zeros(7, np.uint8), "(7,)"),
        (np.zeros((0, 5), np.uint8), "empty"),
        (np.zeros((5, 0, 3), np.uint8), "empty"),
        (np.zeros((4, 5)), "astype('float32')"),
        (np.zeros((4, 5), np.int32), "astype('uint8')"),
        (np.zeros((4, 5), bool), "astype('uint8')"),
        (np.zeros((4, 5), ">u2"), "uint16"),
        (np.full((4, 5), 255, np.float32), "divide"),
        (np.full((4, 5), np.nan, np.float32), "NaN"),
        (np.full((4, 5), np.inf, np.float32), "infinity"),
    ],
)
def test_anything_else_is_refused_with_the_way_out(bad, hint):
    with pytest.raises(ImageError) as caught:
        image.check(bad)
    assert hint in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_slight_overshoot_of_floats_is_no_error():
    image.check(np.array([[-0.2, 1.3]], np.float32))


def test_hidden_color_becomes_that_of_the_nearest_visible_pixel():
    bgra = np.zeros((5, 6, 4), np.uint8)
    bgra[:, :3] = (10, 20, 30, 255)
    bgra[:, 3:] = (99, 99, 99, 0)
    bgra[2, 5] = (1, 2, 3, 255)
    color = fill.filled(bgra)
    assert (color[0, 3] == (10, 20, 30)).all() and (color[2, 4] == (1, 2, 3)).all()
    assert (color[bgra[:, :, 3] > 0] == bgra[bgra[:, :, 3] > 0][:, :3]).all()


@pytest.mark.parametrize("alpha", [0, 255])
def test_color_stays_where_all_is_hidden_or_all_is_seen(alpha):
    bgra = np.random.default_rng(0).integers(0, 256, (4, 5, 4), np.uint8)
    bgra[:, :, 3] = alpha
    assert (fill.filled(bgra) == bgra[:, :, :3]).all()
