"""``cvsr upscale``: where results go, and what they keep."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from kit.commands import names, picture, save
from PIL import Image as Pillow

from cvsr.io import reader


class TestNamesAndPlaces:
    def test_beside_the_input_in_its_format(self, run):
        image = picture()
        save("grüße an.png", image)
        assert run("upscale", "grüße an.png") == (0, "", "cvsr: 1 written, 0 skipped, 0 failed\n")
        np.testing.assert_array_equal(reader.read("grüße an_x2.png").image, image.repeat(2, 0).repeat(2, 1))

    @pytest.mark.parametrize(
        ("options", "name", "size"),
        [
            (["-s", "1.5"], "a_x1.5.png", (9, 12)),
            (["-s", "3.0"], "a_x3.png", (18, 24)),
            (["--size", "20x7"], "a_20x7.png", (7, 20)),
            (["--format", "jpg"], "a_x2.jpg", (12, 16)),
            (["--format", "TIF"], "a_x2.tif", (12, 16)),
            (["-o", "new/r.webp"], "new/r.webp", (12, 16)),
            (["-o", "new/"], "new/a_x2.png", (12, 16)),
            (["-o", "r", "--format", "jpg"], "r", (12, 16)),
        ],
    )
    def test_what_the_options_make_of_it(self, run, options, name, size):
        save("a.png")
        assert run("upscale", "a.png", *options)[0] == 0
        assert names() == sorted(["a.png", name])
        assert reader.read(name).image.shape == (*size, 3)

    def test_a_folder_is_mirrored(self, run):
        for name in ("in/a.png", "in/b.JPG", "in/sub/c.tiff"):
            save(name)
        Path("in/notes.txt").touch()
        assert run("upscale", "in", "-r", "-o", "out", "--format", "png")[0] == 0
        assert names("out") == ["a_x2.png", "b_x2.png", "sub/c_x2.png"]

    def test_a_folder_twice_in_place(self, run):
        save("in/a.png")
        save("in/sub/c.bmp")
        assert "2 written, 0 skipped" in run("upscale", "in", "-r")[2]
        assert names("in") == ["a.png", "a_x2.png", "sub/c.bmp", "sub/c_x2.bmp"]
        before = {name: Path("in", name).stat().st_mtime_ns for name in names("in")}
        assert run("upscale", "in", "-r") == (
            0, "", "cvsr: 0 written, 2 skipped (done already; --overwrite does them again), 0 failed\n"
        )  # fmt: skip
        assert {name: Path("in", name).stat().st_mtime_ns for name in names("in")} == before
        assert "2 written, 0 skipped, 0 failed" in run("upscale", "in", "-r", "--overwrite")[2]

    def test_the_output_folder_inside_the_input(self, run):
        save("in/a.png")
        for _ in range(2):
            assert run("upscale", "in", "-r", "-o", "in/out")[0] == 0
            assert names("in") == ["a.png", "out/a_x2.png"]

    def test_formats_that_cannot_be_written_become_png(self, run):
        Pillow.fromarray(picture()).convert("1").save("bits.pbm")
        assert run("upscale", "bits.pbm")[0] == 0
        assert names() == ["bits.pbm", "bits_x2.png"]

    def test_patterns_that_the_shell_left(self, run):
        save("a.png")
        save("b.png")
        assert "2 written" in run("upscale", "*.png")[2]
        assert "0 written, 2 skipped" in run("upscale", "*.png")[2]

    def test_patterns_that_the_shell_expanded(self, run):
        save("a.png")
        run("upscale", "a.png")
        code, _, error = run("upscale", "a.png", "a_x2.png")
        assert (code, names()) == (0, ["a.png", "a_x2.png"])
        assert "0 written, 2 skipped" in error


class TestKinds:
    def test_16_bits_alpha_and_gray_stay(self, run):
        for name, kind in {"deep": (3, "uint16"), "alpha": (4, "uint8"), "gray": (0, "uint8")}.items():
            image = picture(6, 8, *kind)
            save(f"{name}.png", image)
            assert run("upscale", f"{name}.png")[0] == 0
            np.testing.assert_array_equal(reader.read(f"{name}_x2.png").image, image.repeat(2, 0).repeat(2, 1))

    def test_floats_stay_in_tiff(self, run):
        save("a.tiff", picture(6, 8, 3, "float32"))
        image = reader.read("a.tiff").image  # old versions of OpenCV write floats with loss
        assert image.dtype == np.float32
        assert run("upscale", "a.tiff")[0] == 0
        np.testing.assert_array_equal(reader.read("a_x2.tiff").image, image.repeat(2, 0).repeat(2, 1))

    def test_values_beyond_1_are_an_error(self, run):
        save("a.pfm", picture(6, 8, 3, "float32") * 50)
        code, _, error = run("upscale", "a.pfm")
        assert (code, names()) == (1, ["a.pfm"])
        assert "failed: a.pfm: a float image has values in 0..1" in error

    def test_16_bits_become_8_in_jpeg_with_a_note(self, run):
        save("a.png", picture(dtype="uint16"))
        code, _, error = run("upscale", "a.png", "--format", "jpg")
        assert code == 0
        assert "cvsr: a.png: jpg keeps 8 bits of its 16 bits per sample" in error

    def test_transparency_is_not_lost_in_jpeg(self, run):
        save("a.png", picture(channels=4))
        code, _, error = run("upscale", "a.png", "--format", "jpg")
        assert (code, names()) == (1, ["a.png"])
        assert "partly transparent" in error

    def test_the_result_is_upright_and_says_so(self, run):
        image = picture(6, 8)
        block = Pillow.Exif()
        block[274] = 6
        Pillow.fromarray(np.rot90(image)[..., ::-1].copy()).save("a.png", exif=block)
        assert run("upscale", "a.png")[0] == 0
        result = Pillow.open("a_x2.png")
        assert result.getexif()[274] == 1
        np.testing.assert_array_equal(np.asarray(result)[..., ::-1], image.repeat(2, 0).repeat(2, 1))

    @pytest.mark.parametrize("model", ["bicubic", "area"])
    def test_a_turned_picture_goes_through_interpolation(self, run, model):
        block = Pillow.Exif()
        block[274] = 7
        Pillow.fromarray(picture()).save("a.png", exif=block)
        assert run("upscale", "a.png", model=model)[0] == 0
        assert reader.read("a_x2.png").image.shape == (16, 12, 3)

    def test_quality(self, run):
        save("a.png", picture(64, 64))
        for quality in ("10", "90"):
            assert run("upscale", "a.png", "-o", f"q{quality}.jpg", "--quality", quality)[0] == 0
        assert Path("q10.jpg").stat().st_size < Path("q90.jpg").stat().st_size
