"""Reading: kinds of pictures, names, pipes, and what cannot be read."""

from __future__ import annotations

import io
import os

import numpy as np
import pytest
from kit.pictures import pillow_file, rgb, smooth, written
from PIL import Image as Pillow

from cvsr.errors import FileError
from cvsr.io import atomic, reader
from cvsr.io.png import PngWriter

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
