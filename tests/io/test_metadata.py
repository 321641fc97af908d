"""Orientation, EXIF and color profiles: read, carried on, dropped with a warning."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from kit.pictures import pillow_file, rgb, smooth, written
from PIL import Image as Pillow
from PIL import ImageCms

from cvsr._cv2 import VERSION, cv2
from cvsr.io import encoder, reader

WRITES_METADATA = VERSION >= (4, 13)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def exif(**tags: int | str) -> Pillow.Exif:
    block = Pillow.Exif()
    for name, value in tags.items():
        block[{"orientation": 274, "maker": 271}[name]] = value
    return block


def stored_for(upright: np.ndarray, orientation: int) -> np.ndarray:
    """The pixels that a camera would store for a picture, written from the definition: where row 0 and column 0 are."""
    return {
        1: lambda p: p,
        2: lambda p: p[:, ::-1],
        3: lambda p: np.rot90(p, 2),
        4: lambda p: p[::-1],
        5: lambda p: p.swapaxes(0, 1),
        6: lambda p: np.rot90(p, 1),
        7: lambda p: np.rot90(p, 2).swapaxes(0, 1),
        8: lambda p: np.rot90(p, -1),
    }[orientation](upright)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "MPO"])
def test_pictures_come_out_upright(tmp_path, format, orientation):
    upright = smooth()
    stored = rgb(stored_for(upright, orientation))
    keywords = {"quality": 98} if format in ("JPEG", "WEBP", "MPO") else {}
    data = pillow_file(stored, format, exif=exif(orientation=orientation), **keywords)
    data.tofile(tmp_path / "file")
    for picture in (reader.decode(data), reader.read(tmp_path / "file")):
        assert picture.image.shape == upright.shape
        assert np.abs(picture.image.astype(int) - upright).mean() < 4


def test_the_definition_of_orientations_is_pillows():
    from PIL import ImageOps

    upright = smooth()
    for orientation in range(1, 9):
        stored = rgb(stored_for(upright, orientation))
        stored.getexif()[274] = orientation
        np.testing.assert_array_equal(np.asarray(ImageOps.exif_transpose(stored))[..., ::-1], upright)


@pytest.mark.parametrize("orientation", [2, 6])
@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_deep_tiffs_come_out_upright(dtype, orientation):
    upright = np.random.default_rng(0).random((6, 9)).astype(np.float32)
    upright = (upright * 65535).astype(dtype) if dtype is np.uint16 else upright
    stored = Pillow.fromarray(np.ascontiguousarray(stored_for(upright, orientation)))
    picture = reader.decode(pillow_file(stored, "TIFF", tiffinfo={274: orientation}))
    assert picture.image.dtype == dtype
    np.testing.assert_array_equal(picture.image, upright)


@pytest.mark.parametrize("orientation", [0, 9, 255])
def test_orientations_that_do_not_exist_change_nothing(orientation):
    upright = smooth()
    data = pillow_file(rgb(upright), "PNG", exif=exif(orientation=orientation))
    np.testing.assert_array_equal(reader.decode(data).image, upright)


def test_a_broken_exif_block_does_not_hurt():
    whole = pillow_file(rgb(smooth()), "JPEG", exif=exif(orientation=6, maker="Maker"))
    start = bytes(whole).index(b"Exif\0\0") + 6
    for offset in range(start, start + 24):
        broken = whole.copy()
        broken[offset] ^= 0xFF
        assert reader.decode(broken).image.size == smooth().size


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_exif_and_profile_are_carried_on_with_orientation_1(format, suffix, caplog):
    block = exif(orientation=6, maker="Maker")
    picture = reader.decode(pillow_file(rgb(smooth()), format, exif=block, icc_profile=SRGB))
    if suffix == ".webp" and not WRITES_METADATA:
        assert b"EXIF" not in written(picture, suffix)
        assert "cannot write its EXIF or color profile into webp" in caplog.text
        return
    result = Pillow.open(io.BytesIO(written(picture, suffix)))
    assert result.size == (24, 40)
    assert dict(result.getexif()) == {274: 1, 271: "Maker"}
    assert result.info["icc_profile"] == SRGB


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_the_profile_is_carried_on_to_tiff(format):
    picture = reader.decode(pillow_file(rgb(smooth()), format, icc_profile=SRGB))
    assert Pillow.open(io.BytesIO(written(picture, ".tiff"))).info["icc_profile"] == SRGB


def test_long_profiles_come_in_parts():
    profile = (len(SRGB) + 200_000).to_bytes(4, "big") + SRGB[4:] + bytes(200_000)
    picture = reader.decode(pillow_file(rgb(smooth()), "JPEG", icc_profile=profile))
    assert picture.icc == profile
    assert Pillow.open(io.BytesIO(written(picture, ".jpg"))).info["icc_profile"] == profile


def test_the_thumbnail_of_before_is_not_carried_on():
    block = b"MM\0*" + struct.pack(">I", 8)  # one tag, a link to a second directory, its tag, the end
    block += struct.pack(">HHHIHHI", 1, 274, 3, 1, 6, 0, 26) + struct.pack(">HHHIHHI", 1, 256, 3, 1, 160, 0, 0)
    picture = reader.decode(pillow_file(rgb(smooth()), "JPEG", exif=b"Exif\0\0" + block))
    assert picture.exif is not None
    assert struct.unpack_from(">H", picture.exif, 18)[0] == 1  # upright now
    assert picture.exif[22:26] == bytes(4)  # no second directory


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tiff"])
@pytest.mark.parametrize("icc", [b"garbage", b"\0" * 200, SRGB[:-1], SRGB.replace(b"RGB ", b"CMYK", 1)])
def test_a_bad_profile_is_dropped_with_a_warning(suffix, icc, caplog):
    picture = reader.Picture(smooth(), ".png", icc=icc)
    data = written(picture, suffix)
    assert "icc_profile" not in Pillow.open(io.BytesIO(data)).info
    assert "color profile is damaged" in caplog.text


def test_metadata_that_the_format_cannot_hold_is_dropped_with_a_warning(caplog):
    picture = reader.Picture(smooth(), ".png", exif=b"II*\0" + bytes(70_000))  # JPEG's segments end at 64 kB
    assert Pillow.open(io.BytesIO(written(picture, ".jpg"))).size == (40, 24)
    assert "too long for a JPEG" in caplog.text


def test_metadata_that_the_encoder_refuses_is_dropped_with_a_warning(monkeypatch, caplog):
    monkeypatch.setattr(encoder, "VERSION", (5, 0, 0))
    for result in ((False, None), (True, ()), cv2.error("refused")):

        def refuse(*_, result=result):
            if isinstance(result, Exception):
                raise result
            return result

        monkeypatch.setattr(cv2, "imencodeWithMetadata", refuse, raising=False)
        picture = reader.Picture(smooth(), ".png", exif=b"II*\0" + bytes(20))
        assert Pillow.open(io.BytesIO(written(picture, ".webp"))).size == (40, 24)
        assert "cannot write its EXIF" in caplog.text
        caplog.clear()
