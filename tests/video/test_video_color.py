"""Colors of films: no cast, in either direction, whatever matrix and range the film states."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("av", reason="films need PyAV: pip install '.[video]'")
import av
from kit import films

from cvsr._cv2 import cv2
from cvsr.cli import verbs
from cvsr.video.color import Color, Converter
from cvsr.video.reader import Reader

WEIGHTS = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 7: (0.212, 0.087), 9: (0.2627, 0.0593)}
"""Of red and blue, from ITU-R BT.709, BT.601, SMPTE 240M and BT.2020."""

CASES = [(matrix, range_) for matrix in WEIGHTS for range_ in (1, 2)]


def patches() -> np.ndarray:
    """A gray ramp above patches of color, each wide enough for chroma at half the resolution."""
    ramp = np.tile(np.arange(256, dtype=np.uint8)[None, :, None], (32, 1, 3))
    colors = np.random.default_rng(3).integers(0, 256, (1, 16, 3), dtype=np.uint8)
    colors[0, :8] = [
        (0, 0, 255),
        (0, 255, 0),
        (255, 0, 0),
        (255, 255, 0),
        (0, 255, 255),
        (255, 0, 255),
        (0, 0, 0),
        (255,) * 3,
    ]
    return np.vstack([ramp, colors.repeat(16, 1).repeat(32, 0)])


def insides(image: np.ndarray) -> np.ndarray:
    """The ramp, and the middles of the patches."""
    ramp = image[4:24].reshape(-1, 3)
    middles = image[40:56].reshape(16, 16, 16, 3)[:, :, 5:11].reshape(-1, 3)
    return np.vstack([ramp, middles]).astype(int)


def yuv(bgr: np.ndarray, matrix: int, range_: int) -> np.ndarray:
    """The formula of the standards, in floats: (H, W, 3) of 8-bit levels."""
    b, g, r = (bgr[..., i] / 255 for i in range(3))
    red, blue = WEIGHTS[matrix]
    y = red * r + (1 - red - blue) * g + blue * b
    u, v = (b - y) / (2 - 2 * blue), (r - y) / (2 - 2 * red)
    if range_ == 2:
        return np.dstack([255 * y, 128 + 255 * u, 128 + 255 * v])
    return np.dstack([16 + 219 * y, 128 + 224 * u, 128 + 224 * v])


@pytest.mark.parametrize(("matrix", "range_"), CASES)
def test_bgr_becomes_the_yuv_of_the_standard(matrix, range_):
    image = patches()
    frame = Converter(Color(matrix, range_)).to_yuv(image, "yuv444p")
    found = frame.to_ndarray().transpose(1, 2, 0) if frame.to_ndarray().shape[0] == 3 else frame.to_ndarray()
    wanted = np.clip(yuv(image, matrix, range_), 0, 255)
    assert np.abs(insides(found) - insides(np.rint(wanted))).max() <= 1


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p"])
@pytest.mark.parametrize(("matrix", "range_"), CASES)
def test_there_and_back_without_a_cast(matrix, range_, pix_fmt):
    image = patches()
    converter = Converter(Color(matrix, range_))
    back = converter.to_bgr(converter.to_yuv(image, pix_fmt), (256, 64), sixteen=False)
    wrong = insides(back) - insides(image)
    assert np.abs(wrong).max() <= 3
    assert np.abs(wrong).mean() < 0.8
    assert np.abs(wrong[: 20 * 256]).max() <= 1  # gray stays gray
    assert np.abs(wrong[: 20 * 256].mean(axis=0)).max() < 0.1


@pytest.mark.parametrize("pix_fmt", ["yuv420p10le", "yuv444p10le", "yuv444p12le"])
@pytest.mark.parametrize(("matrix", "range_"), CASES)
def test_sixteen_bits_there_and_back(matrix, range_, pix_fmt):
    bits = 12 if "12" in pix_fmt else 10
    image = patches().astype(np.uint16) * 257
    converter = Converter(Color(matrix, range_))
    frame = converter.to_yuv(image, pix_fmt)
    luma = np.frombuffer(frame.planes[0], np.uint16).reshape(64, -1)[:32, :256]
    white = 2**bits - 1 if range_ == 2 else 235 * 2 ** (bits - 8)
    black = 0 if range_ == 2 else 16 * 2 ** (bits - 8)
    assert np.abs(luma[4:24] - (black + (white - black) * np.arange(256) / 255)).max() <= 1
    back = converter.to_bgr(frame, (256, 64), sixteen=True)
    assert back.dtype == np.uint16
    step = 65536 // 2**bits
    assert np.abs(insides(back) - insides(image)).max() <= 4 * step
    assert np.abs(insides(back) - insides(image))[: 20 * 256].max() <= step


@pytest.mark.parametrize(("pix_fmt", "rows"), [("yuv420p", 2), ("yuv422p", 1), ("yuv420p10le", 2)])
def test_chroma_lies_on_every_other_column(pix_fmt, rows):
    noise = np.random.default_rng(0).integers(60, 196, (64, 256, 3)).astype(np.float32)
    image = cv2.GaussianBlur(noise, (0, 0), 2).round().astype(np.uint8)
    deep = "10" in pix_fmt
    frame = Converter(Color(1, 1)).to_yuv(image.astype(np.uint16) * 257 if deep else image, pix_fmt)
    plane = np.frombuffer(frame.planes[1], np.uint16 if deep else np.uint8).reshape(frame.planes[1].height, -1)
    wide = yuv(image, 1, 1)[..., 1].reshape(64 // rows, rows, 256).mean(axis=1) * (4 if deep else 1)
    wanted = (wide[:, 1:-2:2] + 2 * wide[:, 2:-1:2] + wide[:, 3::2]) / 4
    assert np.abs(plane[:, 1:127] - wanted[:, :126]).max() <= (3 if deep else 1)


@pytest.mark.parametrize(("matrix", "range_"), [(1, 1), (6, 1), (9, 1), (1, 2), (5, 2)])
def test_a_whole_film_has_no_cast(tmp_path, matrix, range_):
    image = patches()
    frame = yuv(image, matrix, range_).clip(0, 255).round().astype(np.uint8)
    source = tmp_path / "in.mkv"
    with av.open(str(source), "w") as container:  # made by the formula, not by cvsr
        stream = container.add_stream("ffv1", rate=30)
        stream.width, stream.height, stream.pix_fmt = 256, 64, "yuv444p"
        stream.codec_context.colorspace, stream.codec_context.color_range = matrix, range_
        made = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame.transpose(2, 0, 1)), format="yuv444p")
        made.pts = 0
        container.mux(stream.encode(made))
        container.mux(stream.encode())
    assert np.abs(insides(next(Reader(source).frames()).image) - insides(image)).max() <= 3
    target = tmp_path / "out.mkv"
    assert verbs.main(["video", str(source), str(target), "-m", "nearest", "-s", "2", "--codec", "ffv1"]) == 0
    found = next(Reader(target).frames()).image[::2, ::2]
    wrong = insides(found) - insides(image)
    assert np.abs(wrong).max() <= 4
    assert np.abs(wrong[: 20 * 256].mean(axis=0)).max() < 0.3


def test_films_that_state_nothing_are_taken_as_players_take_them(tmp_path):
    for size, matrix in (((64, 48), 6), ((1280, 720), 1)):
        source = films.make(tmp_path / f"{size[0]}.mp4", 1, size=size, colors=(2, 0, 2, 2))
        assert Reader(source).facts.color == Color(matrix, 1, 2, 2)
