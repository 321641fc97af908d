"""The size of a picture from its file's first bytes: as OpenCV reads it, and refused where that could be otherwise."""

from __future__ import annotations

import random
import struct
import zlib
from contextlib import suppress

import cv2
import numpy as np
import pytest

from cvsr.io import header
from cvsr.io.interface import BrokenFileError, Header, UnknownFormatError

PICTURE = np.random.default_rng(3).integers(0, 256, (37, 53, 3), np.uint8)


def encoded(suffix: str, image: np.ndarray = PICTURE, *parameters: int) -> bytearray:
    done, data = cv2.imencode(suffix, image, parameters)
    assert done
    return bytearray(data.tobytes())


def read(data: bytes) -> Header:
    return header.read(memoryview(bytearray(data)))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".bmp", ".tiff"])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_it_is_the_size_that_opencv_reads(suffix, channels, dtype):
    if dtype == "uint16" and suffix not in (".png", ".tiff"):
        pytest.skip("8 bits only")
    image = np.dstack((PICTURE, PICTURE[..., 0]))[..., :channels].astype(dtype)
    head = read(encoded(suffix, image))
    assert (head.suffix, head.width, head.height) == (suffix, 53, 37)
    decoded = cv2.imdecode(np.frombuffer(encoded(suffix, image), np.uint8), cv2.IMREAD_UNCHANGED)
    assert head.pixel >= decoded.nbytes / head.pixels


def test_kinds_of_one_format():
    assert read(encoded(".jpg", PICTURE, cv2.IMWRITE_JPEG_PROGRESSIVE, 1)).width == 53
    assert read(encoded(".webp", PICTURE, cv2.IMWRITE_WEBP_QUALITY, 101)).height == 37
    assert read(encoded(".webp", PICTURE, cv2.IMWRITE_WEBP_QUALITY, 50)).height == 37
    extended = b"RIFF\x22\0\0\0WEBPVP8X\x0a\0\0\0\x10\0\0\0" + struct.pack("<I", 9999)[:3] + struct.pack("<I", 4)[:3]
    assert read(extended) == Header(".webp", 10000, 5, 4)
    big_endian = bytes(encoded(".tiff")).replace(b"II*\0", b"MM\0*")
    with pytest.raises(BrokenFileError):
        read(big_endian)


def png(width: int, height: int) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    )


def tiff(*entries: tuple[int, int, int], link: int = 0) -> bytes:
    tags = [(256, 4, 10), (257, 4, 10), (258, 3, 8), *entries]
    body = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + body + struct.pack("<I", link)


def jpeg_with(segment: bytes) -> bytes:
    data = bytes(encoded(".jpg"))
    return data[:2] + segment + data[2:]


def test_claims_are_read_not_checked():
    assert read(png(1 << 31, 1)).pixels == 1 << 31
    huge = encoded(".jpg")
    at = huge.index(b"\xff\xc0") + 5
    huge[at : at + 4] = struct.pack(">HH", 65500, 65500)
    assert read(huge).pixels == 65500**2


BROKEN = {
    "a JPEG with a marker that has no length, to hide a size behind": jpeg_with(b"\xff\x01\x00\x10" + bytes(14)),
    "a JPEG that states its size twice": jpeg_with(b"\xff\xc0\x00\x0b\x08\x00\x10\x00\x10\x01\x01\x11\x00"),
    "a JPEG with something between segments": bytes(encoded(".jpg")[:20] + bytes(3) + encoded(".jpg")[20:]),
    "a JPEG of ten thousand scans": bytes(encoded(".jpg")[:-2]) + b"\xff\xda\0\x08" * 10_000 + b"\xff\xd9",
    "a PNG without a header": b"\x89PNG\r\n\x1a\n" + bytes(30),
    "a PNG without pixels": png(0, 5),
    "a TIFF with huge tiles": tiff((322, 4, 16384), (323, 4, 16384)),
    "a TIFF with two widths": tiff((256, 4, 100_000)),
    "a TIFF with two pages": tiff(link=8),
    "a WebP without a picture": b"RIFF\x10\0\0\0WEBPXMP \0\0\0\0" + bytes(20),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_could_be_read_in_two_ways_is_refused(name):
    with pytest.raises(BrokenFileError):
        read(BROKEN[name])


@pytest.mark.parametrize("data", [b"", b"%PDF-1.7", b"GIF89a" + bytes(20), b"<svg/>", b"P6 9999 9999 255\n", bytes(64)])
def test_other_files_are_unknown(data):
    with pytest.raises(UnknownFormatError):
        read(data)


def test_floats_are_for_the_command_line():
    with pytest.raises(UnknownFormatError, match="cvsr upscale"):
        read(encoded(".tiff", PICTURE.astype(np.float32)))


def test_no_bytes_whatever_raise_anything_else():
    chance = random.Random(7)
    for suffix in (".png", ".jpg", ".webp", ".bmp", ".tiff"):
        whole = encoded(suffix, PICTURE[:9, :9])
        for _ in range(400):
            data = whole[: chance.randrange(len(whole))] if chance.random() < 0.3 else bytearray(whole)
            for _ in range(chance.randrange(6)):
                if data:
                    data[chance.randrange(min(len(data), 200))] = chance.randrange(256)
            with suppress(UnknownFormatError, BrokenFileError):
                read(data)
