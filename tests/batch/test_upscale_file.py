"""``cvsr.upscale_file``: one file becomes one file, as the command line does it."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import numpy as np
import pytest
from kit.commands import names, picture, save
from PIL import Image as Pillow

import cvsr
from cvsr.cli import verbs
from cvsr.errors import Cancelled, FileError, ImageError, MemoryBudgetError, ModelNotFoundError, OptionError
from cvsr.io import reader


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def nearest(source, target=None, scale=2, **options) -> Path:
    return cvsr.upscale_file(source, target, scale, model="nearest", **options)


@pytest.mark.parametrize(
    ("arguments", "name", "size"),
    [
        ({}, "a_x2.png", (12, 16)),
        ({"scale": 1.5}, "a_x1.5.png", (9, 12)),
        ({"size": (20, 7)}, "a_20x7.png", (7, 20)),
        ({"format": "jpg"}, "a_x2.jpg", (12, 16)),
        ({"target": "new/r.webp"}, "new/r.webp", (12, 16)),
        ({"target": "new/"}, "new/a_x2.png", (12, 16)),
        ({"target": "there"}, "there/a_x2.png", (12, 16)),
        ({"target": Path("r"), "format": "tiff"}, "r", (12, 16)),
    ],
)
def test_the_result_is_where_the_command_line_puts_it(arguments, name, size):
    save("a.png")
    Path("there").mkdir()
    result = nearest("a.png", **arguments)
    assert isinstance(result, Path) and result == Path(name)
    assert names() == sorted(["a.png", name])
    assert reader.read(result).image.shape == (*size, 3)


@pytest.mark.parametrize("model", ["cvsr-small", "bicubic"])
@pytest.mark.parametrize("kind", [(3, "uint8"), (4, "uint8"), (0, "uint16"), (3, "float32")])
def test_it_gives_the_bits_of_the_library_and_the_bytes_of_the_command_line(kind, model):
    image = picture(30, 40, *kind)
    source = save("a.tiff" if kind[1] == "float32" else "a.png", image)
    image = reader.read(source).image
    result = cvsr.upscale_file(source, "r" + source.suffix, model=model)
    np.testing.assert_array_equal(reader.read(result).image, cvsr.upscale(image, 2, model=model))
    assert verbs.main(["upscale", str(source), "-m", model]) == 0
    assert result.read_bytes() == Path(f"a_x2{source.suffix}").read_bytes()


def test_metadata_stays_and_the_result_is_upright():
    block = Pillow.Exif()
    block[274], block[271] = 6, "Maker"
    Pillow.fromarray(picture()).save("a.png", exif=block, dpi=(300, 300))
    result = Pillow.open(nearest("a.png"))
    assert result.size == (12, 16)
    assert (result.getexif()[274], result.getexif()[271]) == (1, "Maker")


def test_a_file_that_exists_is_replaced_only_on_request():
    save("a.png")
    before = save("a_x2.png", picture(2, 2)).read_bytes()
    with pytest.raises(FileError, match=r"a_x2\.png exists already: pass overwrite=True"):
        nearest("a.png")
    assert Path("a_x2.png").read_bytes() == before
    assert reader.read(nearest("a.png", overwrite=True)).image.shape == (12, 16, 3)


@pytest.mark.parametrize("overwrite", [False, True])
def test_the_source_is_never_the_target(overwrite):
    before = save("a.png").read_bytes()
    Path("link.png").symlink_to("a.png")
    for target in ("a.png", "./a.png", "link.png"):
        with pytest.raises(FileError, match="overwrite its own input"):
            nearest("a.png", target, overwrite=overwrite)
    assert Path("a.png").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"source": "nix.png"}, FileError, "no such file"),
        ({"source": "there"}, FileError, "is a folder"),
        ({"source": "broken.png"}, FileError, "cannot be decoded"),
        ({"source": "bright.pfm"}, ImageError, "0..1"),
        ({"scale": 0}, OptionError, "above 0"),
        ({"scale": 3, "size": (9, 9)}, OptionError, "not both"),
        ({"size": (0, 9)}, OptionError, "at least 1"),
        ({"model": "nosuch"}, ModelNotFoundError, "nosuch"),
        ({"device": "nosuch"}, OptionError, "nosuch"),
        ({"format": "xyz"}, OptionError, "xyz"),
        ({"quality": 0}, OptionError, "1 to 100"),
        ({"target": "r.xyz"}, OptionError, "names no format"),
        ({"target": "r.jpg", "format": "png"}, OptionError, "contradict"),
        ({"max_memory": "much"}, OptionError, "512M"),
        ({"max_memory": "10M"}, OptionError, "max_memory is 10 MB"),
        ({"effort": "fast", "exact": True}, OptionError, "effort"),
        ({"source": "clear.png", "format": "jpg"}, FileError, "partly transparent"),
    ],
)
def test_what_is_wrong_is_an_error_of_cvsr_and_leaves_nothing(arguments, error, match):
    for name in ("a.png", "there/x.png"):
        save(name)
    save("clear.png", picture(channels=4))
    save("bright.pfm", picture(6, 8, 3, "float32") * 50)
    Path("broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    before = names()
    with pytest.raises(error, match=match):
        cvsr.upscale_file(**{"source": "a.png", "model": "nearest", **arguments})
    assert names() == before


def test_progress_and_cancel():
    save("a.png", picture(300, 400))
    seen: list[cvsr.Progress] = []
    cvsr.upscale_file("a.png", model="cvsr-small", progress=seen.append)
    assert [step.done for step in seen] == list(range(1, seen[-1].total + 1))
    with pytest.raises(Cancelled):
        cvsr.upscale_file("a.png", "b.png", model="cvsr-small", cancel=lambda: True)
    with pytest.raises(Cancelled):
        nearest("a.png", "c.png", cancel=lambda: True)
    assert names() == ["a.png", "a_x2.png"]


def test_a_name_that_is_a_dash_is_a_file():
    save("a.png").rename("-")
    assert nearest("-", "b.png") == Path("b.png")
    assert nearest("b.png", "-", format="png", overwrite=True) == Path("-").absolute()
    assert names() == ["-", "b.png"]
    assert reader.read("-").image.shape == (24, 32, 3)


class TestLarge:
    """Stacks, maps, and files in a memory limit."""

    def test_a_stack(self):
        tifffile = pytest.importorskip("tifffile", reason="needs the extra tiff")
        pages = np.random.default_rng(0).integers(0, 60000, (3, 20, 30), np.uint16)
        tifffile.imwrite("a.tif", pages, photometric="minisblack")
        seen: list[cvsr.Progress] = []
        result = nearest("a.tif", progress=seen.append)
        np.testing.assert_array_equal(tifffile.imread(result), pages.repeat(2, 1).repeat(2, 2))
        assert seen[-1].done == seen[-1].total == 3
        with pytest.raises(FileError, match="3 pages"):
            nearest("a.tif", format="png")
        with pytest.raises(Cancelled):
            cvsr.upscale_file("a.tif", "b.tif", model="cvsr-small", cancel=lambda: True)
        assert names() == ["a.tif", "a_x2.tif"]

    def test_values_of_a_stack_are_normalized(self):
        tifffile = pytest.importorskip("tifffile", reason="needs the extra tiff")
        pages = np.random.default_rng(0).integers(900, 1000, (2, 20, 30)).astype(np.uint16)
        tifffile.imwrite("a.tif", pages, photometric="minisblack")
        plain = tifffile.imread(cvsr.upscale_file("a.tif", "plain.tif", model="cvsr-small"))
        whole = tifffile.imread(cvsr.upscale_file("a.tif", "whole.tif", model="cvsr-small", normalize=True))
        pair = tifffile.imread(cvsr.upscale_file("a.tif", "pair.tif", model="cvsr-small", normalize=(900, 999)))
        assert not np.array_equal(plain, whole)
        np.testing.assert_array_equal(whole, pair)

    def test_a_map_stays_where_it_is(self):
        rasterio = pytest.importorskip("rasterio", reason="needs the extra geo")
        profile = {"driver": "GTiff", "width": 30, "height": 20, "count": 1, "dtype": "uint8", "crs": "EPSG:32633"}
        transform = rasterio.transform.from_origin(500_000, 5_000_000, 10, 10)
        with rasterio.open("a.tif", "w", transform=transform, **profile) as scene:
            scene.write(picture(20, 30, 0), 1)
        with rasterio.open(nearest("a.tif")) as result:
            assert (result.width, result.crs.to_epsg(), result.transform.a) == (60, 32633, 5)

    def test_a_memory_limit_streams_or_refuses(self):
        pytest.importorskip("tifffile", reason="needs the extra tiff")
        save("a.png", picture(400, 600))
        free = cvsr.upscale_file("a.png", "free.png", model="cvsr-small", exact=True)
        tight = cvsr.upscale_file("a.png", "tight.png", model="cvsr-small", exact=True, max_memory="4G")
        assert free.read_bytes() == tight.read_bytes()
        from cvsr import machine

        with pytest.raises((MemoryBudgetError, OptionError), match="raise it"):
            cvsr.upscale_file("a.png", "r.webp", model="cvsr-small", max_memory=machine.resident() + (9 << 20))
        assert not Path("r.webp").exists()


def test_every_argument_is_documented():
    for name in inspect.signature(cvsr.upscale_file).parameters:
        assert re.search(rf":param {name}: \S", cvsr.upscale_file.__doc__), name
