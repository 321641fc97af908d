"""Writing: what each format holds, conversions, quality."""

from __future__ import annotations

import io
import logging

import numpy as np
import pytest
from kit.pictures import smooth, written

from cvsr.errors import FileError
from cvsr.io import encoder, formats, reader


def test_16_bits_and_floats_survive_reading_and_writing():
    random = np.random.default_rng(0)
    for dtype, suffixes in (("uint16", (".png", ".tiff")), ("float32", (".tiff",))):
        values = random.random((5, 7, 3)).astype(np.float32)
        image = (values * 65535).astype(dtype) if dtype == "uint16" else values
        for suffix in suffixes:
            data = np.frombuffer(bytearray(written(reader.Picture(image, suffix), suffix)), np.uint8)
            np.testing.assert_array_equal(reader.decode(data).image, image)


@pytest.mark.parametrize("name", [name for name, known in formats.FORMATS.items() if known.dtypes])
def test_every_format_holds_what_it_says(name):
    format = formats.format_of(name)
    if format is None:
        pytest.skip(f"this OpenCV cannot write {name}")
    for dtype in format.dtypes:
        for channels in format.channels:
            # OpenJPEG takes nothing smaller than 32 pixels a side
            image = smooth(64, 80, channels) if channels > 1 else smooth(64, 80)[..., 0]
            image = encoder.convert(image, np.dtype(dtype))
            back = reader.decode(np.frombuffer(bytearray(written(reader.Picture(image, ""), name)), np.uint8)).image
            assert back.dtype == dtype
            assert back.shape == image.shape
            peak = 1 if dtype == "float32" else np.iinfo(dtype).max
            assert np.abs(back / peak - image / peak).mean() < 0.02


def test_conversions_round_and_span_the_range():
    u8, u16 = np.dtype("uint8"), np.dtype("uint16")
    every = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(encoder.convert(every.astype(np.uint16) * 257, u8), every)
    np.testing.assert_array_equal(encoder.convert(every, u16), every.astype(np.uint16) * 257)
    np.testing.assert_array_equal(encoder.convert(np.array([-1, 0, 0.5, 1, 2], "f4"), u8), [0, 0, 128, 255, 255])
    np.testing.assert_array_equal(encoder.convert(every, np.dtype("float32")), every / np.float32(255))


def test_transparency_that_a_format_cannot_hold_is_an_error_naming_those_that_can():
    image = smooth(channels=4)
    with pytest.raises(FileError, match=r"partly transparent and jpg cannot .* png, tiff or webp"):
        encoder.fit(image, formats.FORMATS["jpg"])
    image[..., 3] = 255
    np.testing.assert_array_equal(encoder.fit(image, formats.FORMATS["jpg"]), image[..., :3])


def test_fewer_bits_are_said(caplog):
    written(reader.Picture(smooth().astype(np.uint16) * 257, ".png"), ".jpg")
    assert "jpg keeps 8 bits of its 16" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        written(reader.Picture(smooth(), ".png"), ".jpg")
    assert not caplog.text


def test_quality_is_obeyed_and_95_by_default():
    picture = reader.Picture(smooth(100, 100), ".png")
    for suffix in (".jpg", ".webp"):
        sizes = [len(written(picture, suffix, quality)) for quality in (20, 80, 95, None)]
        assert sizes[0] < sizes[1] < sizes[2] == sizes[3]


def test_a_side_too_long_for_a_format_is_an_error():
    with pytest.raises(FileError, match=r"20000x2 and webp allows 16383 .* png"):
        encoder.open_writer(io.BytesIO(), formats.FORMATS["webp"], (2, 20000, 3), np.dtype("uint8"))
