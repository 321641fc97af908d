from __future__ import annotations

import io
import logging
import os
import struct

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageCms

from cvsr._cv2 import VERSION, cv2
from cvsr.errors import FileError
from cvsr.io import atomic, encoder, formats, reader
from cvsr.io.png import PngWriter

WRITES_METADATA = VERSION >= (4, 13)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def smooth(height=24, width=40, channels=3) -> np.ndarray:
    """A picture without symmetry that survives lossy formats."""
    random = np.random.default_rng(3)
    small = random.integers(0, 256, (3, 4, channels), dtype=np.uint8)
    picture = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    picture[: height // 3, : width // 4] = 255
    return picture


def pillow_file(image: Pillow.Image, format: str, **keywords) -> np.ndarray:
    stream = io.BytesIO()
    image.save(stream, format, **keywords)
    return np.frombuffer(bytearray(stream.getvalue()), np.uint8)


def rgb(bgr: np.ndarray) -> Pillow.Image:
    return Pillow.fromarray(np.ascontiguousarray(bgr[..., [2, 1, 0, 3][: bgr.shape[2]]]))


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


def written(picture: reader.Picture, suffix: str, quality: int | None = None) -> bytes:
    format = formats.format_of(suffix)
    assert format is not None
    image = encoder.fit(picture.image, format)
    dtype = encoder.dtype_for(image.dtype, format)
    stream = io.BytesIO()
    metadata = {"exif": picture.exif, "icc": picture.icc}
    writer = encoder.open_writer(stream, format, image.shape, dtype, quality=quality, **metadata)
    writer.write(encoder.convert(image, dtype))
    writer.close()
    return stream.getvalue()


KINDS = {
    "gray": ("L", (24, 40)),
    "palette": ("P", (24, 40, 3)),
    "1 bit": ("1", (24, 40)),
    "color": ("RGB", (24, 40, 3)),
    "color and alpha": ("RGBA", (24, 40, 4)),
}


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_pictures_are_read(kind, format):
    mode, shape = KINDS[kind]
    source = rgb(smooth(channels=4)).convert("RGB" if mode == "P" else mode).convert(mode)
    picture = reader.decode(pillow_file(source, format))
    assert picture.image.shape == shape
    assert picture.image.dtype == np.uint8
    expected = np.asarray(source.convert({"P": "RGB", "1": "L"}.get(mode, mode)))
    expected = expected if expected.ndim == 2 else expected[..., [2, 1, 0, 3][: expected.shape[2]]]
    np.testing.assert_array_equal(picture.image, expected)


def test_gray_with_alpha_keeps_its_alpha():
    source = rgb(smooth(channels=4)).convert("LA")
    image = reader.decode(pillow_file(source, "PNG")).image
    assert image.shape == (24, 40, 4)
    np.testing.assert_array_equal(image[..., 3], np.asarray(source)[..., 1])


def test_cmyk_jpegs_are_read():
    image = reader.decode(pillow_file(rgb(smooth()).convert("CMYK"), "JPEG", quality=95)).image
    assert np.abs(image.astype(int) - smooth()).mean() < 12


def test_the_color_of_transparent_tiffs_is_not_darkened():
    source = np.full((4, 4, 4), 200, np.uint8)
    source[..., 3] = 10
    image = reader.decode(pillow_file(rgb(source), "TIFF")).image
    np.testing.assert_array_equal(image, source)


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
    with pytest.raises(FileError, match=r"20000x2 and webp ends at 16383 .* png"):
        encoder.open_writer(io.BytesIO(), formats.FORMATS["webp"], (2, 20000, 3), np.dtype("uint8"))


@pytest.mark.parametrize("name", ["pic.png", "with space.png", "grüße.png", "写真.png", "emoji 🐈.png", "-dash.png"])
def test_any_name_can_be_read_and_written(tmp_path, name):
    path = tmp_path / name
    with atomic.atomic(path) as stream:
        stream.write(written(reader.Picture(smooth(), ".png"), ".png"))
    np.testing.assert_array_equal(reader.read(path).image, smooth())


def test_pictures_are_read_from_pipes(tmp_path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("no named pipes here")
    import threading

    fifo = tmp_path / "fifo.png"
    os.mkfifo(fifo)
    data = written(reader.Picture(smooth(), ".png"), ".png")
    feeder = threading.Thread(target=fifo.write_bytes, args=(data,))
    feeder.start()
    np.testing.assert_array_equal(reader.read(fifo).image, smooth())
    feeder.join()


class TestWhatCannotBeRead:
    def test_missing(self, tmp_path):
        with pytest.raises(FileError, match=r"nix\.png: there is no such file"):
            reader.read(tmp_path / "nix.png")

    def test_folder(self, tmp_path):
        with pytest.raises(FileError, match=r"is a folder|cannot be read"):
            reader.read(tmp_path)

    def test_empty(self, tmp_path):
        (tmp_path / "a.png").touch()
        with pytest.raises(FileError, match="is empty"):
            reader.read(tmp_path / "a.png")

    def test_no_image(self, tmp_path):
        (tmp_path / "a.png").write_text("hello")
        with pytest.raises(FileError, match=r"not an image that OpenCV knows .*hello"):
            reader.read(tmp_path / "a.png")

    def test_heic_says_what_it_is(self):
        data = np.frombuffer(bytearray(b"\0\0\0\x18ftypheic" + bytes(40)), np.uint8)
        with pytest.raises(FileError, match="HEIC"):
            reader.decode(data)

    def test_a_bomb(self):
        stream = io.BytesIO()
        writer = PngWriter(stream, (100_000, 100_000, 3), np.dtype("uint8"))
        writer.write(np.zeros((20, 100_000, 3), np.uint8))
        writer._rows = 100_000
        writer.close()
        with pytest.raises(FileError, match="OPENCV_IO_MAX_IMAGE_PIXELS"):
            reader.decode(np.frombuffer(bytearray(stream.getvalue()), np.uint8))

    def test_samples_of_another_kind(self):
        data = pillow_file(Pillow.fromarray(np.full((4, 4), 70_000, np.int32)), "TIFF")
        with pytest.raises(FileError, match="int32"):
            reader.decode(data)

    @pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "BMP", "PPM", "TIFF", "GIF"])
    def test_cut_short(self, format):
        """Cut anywhere, a file either fails or (where only what follows the pixels is missing) is read whole."""
        random = np.random.default_rng(0).integers(0, 255, (50, 40, 3), dtype=np.uint8)
        whole = pillow_file(rgb(random), format)
        try:
            expected = reader.decode(whole.copy()).image
        except FileError:
            pytest.skip(f"this OpenCV has no {format} reader")
        for share in np.linspace(0.02, 0.999, 25):
            part = whole[: int(whole.size * share)].copy()
            try:
                image = reader.decode(part).image
            except FileError:
                continue
            np.testing.assert_array_equal(image, expected, err_msg=f"{share:.0%} of a {format}")
