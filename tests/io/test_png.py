from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from cvsr._cv2 import cv2
from cvsr.io import png
from cvsr.io.png import PngWriter
from cvsr.io.reader import decode
from cvsr.io.tiff import writer as tiffwriter
from cvsr.io.tiff.writer import TiffWriter


@st.composite
def pictures(draw, dtypes=("uint8", "uint16")):
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    channels = draw(st.sampled_from([(), (3,), (4,)]))
    shape = (draw(st.integers(1, 40)), draw(st.integers(1, 40)), *channels)
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(["noise", "smooth", "flat", "extremes"]))
    top = 1 if dtype.kind == "f" else np.iinfo(dtype).max
    values = {
        "noise": random.random(shape),
        "smooth": np.cumsum(random.random(shape), axis=1) / 50 % 1,
        "flat": np.full(shape, random.random()),
        "extremes": random.integers(0, 2, shape),
    }[kind]
    return (values * top).astype(dtype)


@st.composite
def bands(draw, height):
    """Rows that a picture's bands end at."""
    return sorted({*draw(st.lists(st.integers(1, height), max_size=4)), height})


def write(writer_class, picture, stops=None, **metadata) -> bytes:
    stream = io.BytesIO()
    writer = writer_class(stream, picture.shape, picture.dtype, **metadata)
    start = 0
    for stop in stops or [picture.shape[0]]:
        writer.write(picture[start:stop])
        start = stop
    writer.close()
    return stream.getvalue()


def by_opencv(data: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


def by_pillow(data: bytes) -> np.ndarray:
    decoded = np.asarray(Pillow.open(io.BytesIO(data)))
    return decoded[..., [2, 1, 0, 3][: decoded.shape[2]]] if decoded.ndim == 3 else decoded


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_a_png_decodes_to_exactly_what_was_written(data):
    picture = data.draw(pictures())
    encoded = write(PngWriter, picture, data.draw(bands(picture.shape[0])))
    np.testing.assert_array_equal(by_opencv(encoded), picture)
    if picture.dtype == np.uint8 or picture.ndim == 2:  # Pillow has no 16-bit color
        np.testing.assert_array_equal(by_pillow(encoded), picture)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_a_tiff_decodes_to_exactly_what_was_written(data):
    picture = data.draw(pictures(("uint8", "uint16", "float32")))
    encoded = write(TiffWriter, picture, data.draw(bands(picture.shape[0])))
    np.testing.assert_array_equal(decode(np.frombuffer(bytearray(encoded), np.uint8)).image, picture)
    if picture.dtype == np.uint8 or picture.ndim == 2:
        np.testing.assert_array_equal(by_pillow(encoded), picture)


@pytest.mark.parametrize("writer_class", [PngWriter, TiffWriter])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_pictures_of_many_blocks_and_strips_come_out_right(writer_class, dtype):
    top = np.iinfo(dtype).max
    picture = np.random.default_rng(0).integers(0, top, (700, 900, 3), dtype=dtype)
    picture[300:] = picture[300]  # flat rows beside noise
    encoded = write(writer_class, picture, [1, 2, 64, 333, 700])
    np.testing.assert_array_equal(by_opencv(encoded), picture)


@pytest.mark.parametrize("writer_class", [PngWriter, TiffWriter])
def test_views_with_odd_strides_are_written_right(writer_class):
    base = np.random.default_rng(0).integers(0, 255, (30, 50, 3), dtype=np.uint8)
    view = base.swapaxes(0, 1)[::-1, ::2]
    np.testing.assert_array_equal(by_opencv(write(writer_class, view)), view)


@pytest.mark.parametrize("writer_class", [PngWriter, TiffWriter])
@pytest.mark.parametrize("rows", [3, 5])
def test_a_wrong_number_of_rows_is_an_error(writer_class, rows):
    writer = writer_class(io.BytesIO(), (4, 4), np.dtype(np.uint8))
    writer.write(np.zeros((rows, 4), np.uint8))
    with pytest.raises(ValueError, match=f"has 4 rows and {rows} were written"):
        writer.close()


def test_memory_of_the_png_writer_does_not_grow_with_the_picture():
    import tracemalloc

    class Sink:
        def write(self, data):
            return len(data)

    rows = np.random.default_rng(0).integers(0, 255, (16, 8000, 3), dtype=np.uint8)
    tracemalloc.start()
    try:
        writer = PngWriter(Sink(), (16 * 60, 8000, 3), rows.dtype)
        for _ in range(60):
            writer.write(rows)
        writer.close()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20  # the picture has 22 MB


def test_exif_and_profile_are_chunks_that_pillow_reads():
    exif = Pillow.Exif()
    exif[271] = "Maker"
    picture = np.zeros((4, 4, 3), np.uint8)
    encoded = write(PngWriter, picture, exif=exif.tobytes().removeprefix(b"Exif\0\0"), icc=b"profile" * 30)
    read = Pillow.open(io.BytesIO(encoded))
    assert read.getexif()[271] == "Maker"
    assert read.info["icc_profile"] == b"profile" * 30


def test_the_profile_of_a_tiff_is_a_tag_that_pillow_reads():
    encoded = write(TiffWriter, np.zeros((4, 4, 3), np.uint8), icc=b"profile" * 30)
    assert Pillow.open(io.BytesIO(encoded)).info["icc_profile"] == b"profile" * 30


def test_chunks_carry_right_checksums_and_small_sizes():
    picture = np.random.default_rng(0).integers(0, 255, (1200, 1200, 3), dtype=np.uint8)
    encoded = memoryview(write(PngWriter, picture))
    found = list(png.chunks(encoded))
    assert [chunk.name for chunk in found][:1] == [b"IHDR"]
    assert found[-1].name == b"IEND"
    assert sum(chunk.name == b"IDAT" for chunk in found) > 1
    for chunk in found:
        crc = struct.unpack_from(">I", encoded, chunk.stop)[0]
        assert crc == zlib.crc32(encoded[chunk.start - 4 : chunk.stop])


def test_a_png_is_about_as_small_as_opencv_makes_it():
    smooth = cv2.resize(np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8), (400, 400))
    assert len(write(PngWriter, smooth)) < 1.1 * len(cv2.imencode(".png", smooth)[1])


def test_files_beyond_4_gib_become_bigtiff(monkeypatch):
    monkeypatch.setattr(tiffwriter, "_BIG", 1000)
    picture = np.random.default_rng(0).integers(0, 255, (60, 50, 3), dtype=np.uint8)
    encoded = write(TiffWriter, picture)
    assert encoded[:4] == b"II+\0"
    np.testing.assert_array_equal(decode(np.frombuffer(bytearray(encoded), np.uint8)).image, picture)
    np.testing.assert_array_equal(by_pillow(encoded), picture)
