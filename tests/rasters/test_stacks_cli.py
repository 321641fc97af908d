"""``cvsr upscale`` on stacks and on TIFFs that OpenCV does not read: no page is lost, and what is missing is said."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from kit.processes import halt

import cvsr
from cvsr._cv2 import cv2
from cvsr.cli import verbs
from cvsr.io import reader
from cvsr.io.tiff import writer
from cvsr.machine import resident

tifffile = pytest.importorskip("tifffile", reason="stacks are read with tifffile")

ROOT = Path(cvsr.__file__).parent.parent


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def room() -> str:
    """A budget that leaves enough, whatever the tests before have left in this process."""
    return f"{(resident() >> 20) + 400}M"


@pytest.fixture
def run(capsys):
    """Run ``cvsr upscale`` and return its exit code and what it says."""

    def upscale(*arguments: str, model: str = "nearest") -> tuple[int, str]:
        code = verbs.main(["upscale", *arguments, "-m", model])
        return code, capsys.readouterr().err

    return upscale


def pages(dtype="uint16", count=4) -> np.ndarray:
    top = 1 if dtype == "float32" else np.iinfo(dtype).max
    return (np.random.default_rng(1).random((count, 40, 50)) * top).astype(dtype)


def save(name: str, array: np.ndarray, **keywords) -> None:
    tifffile.imwrite(name, array, photometric="minisblack", **keywords)


def doubled(array: np.ndarray) -> np.ndarray:
    return array.repeat(2, -2).repeat(2, -1)


def test_all_pages_of_a_stack_are_written_and_a_second_run_skips_it(run):
    save("a.tif", pages(), imagej=True)
    assert run("a.tif") == (0, "cvsr: 1 written, 0 skipped, 0 failed\n")
    np.testing.assert_array_equal(tifffile.imread("a_x2.tif"), doubled(pages()))
    assert "1 skipped" in run("a.tif")[1]


def test_stacks_and_pictures_in_one_folder(run):
    Path("in").mkdir()
    save("in/a.tif", pages())
    save("in/b.tif", pages()[0])
    cv2.imwrite("in/c.png", pages("uint8")[0])
    assert run("in", "-o", "out/")[0] == 0
    assert tifffile.imread("out/a_x2.tif").shape == (4, 80, 100)
    np.testing.assert_array_equal(tifffile.imread("out/b_x2.tif"), doubled(pages()[0]))
    np.testing.assert_array_equal(reader.read("out/c_x2.png").image, doubled(pages("uint8")[0]))


@pytest.mark.parametrize("arguments", [("-o", "b.png"), ("--format", "jpg"), ("-o", "out/", "--format", "png")])
def test_a_format_of_one_page_is_refused(run, arguments):
    save("a.tif", pages())
    code, said = run("a.tif", *arguments)
    assert code == 1
    assert "a.tif has 4 pages, and" in said
    assert "write tiff (--format tiff)" in said
    assert [path.name for path in Path().iterdir()] == ["a.tif"]


def test_stacks_go_through_pipes():
    save("a.tif", pages())
    command = [sys.executable, "-m", "cvsr", "upscale", "-", "-m", "nearest"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, input=Path("a.tif").read_bytes(), capture_output=True)
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(tifffile.imread(io.BytesIO(done.stdout)), doubled(pages()))


def test_without_tifffile_it_says_what_to_type_and_writes_nothing(run, monkeypatch):
    save("a.tif", pages())
    monkeypatch.setitem(sys.modules, "tifffile", None)
    code, said = run("a.tif")
    assert code == 1
    assert 'pip install ".[tiff]"' in said
    assert [path.name for path in Path().iterdir()] == ["a.tif"]


def test_the_reader_of_single_pictures_refuses_stacks(tmp_path):
    for keywords in ({}, {"imagej": True}, {"bigtiff": True}, {"byteorder": ">"}):
        save("a.tif", pages(), **keywords)
        with pytest.raises(cvsr.FileError, match=r"a\.tif has 4 pages"):
            reader.read("a.tif")
    with pytest.raises(cvsr.FileError, match="4 pages"):
        reader.decode(np.fromfile("a.tif", np.uint8))


@pytest.mark.parametrize("kind", ["int16", "float32"])
def test_single_pages_of_measured_values(run, kind):
    values = (pages("float32", 1)[0] * 900 - 100).astype(kind)
    save("a.tif", values)
    assert run("a.tif")[0] == 0
    result = tifffile.imread("a_x2.tif")
    assert result.dtype == kind
    assert np.abs(result - doubled(values)).max() < 0.001


@pytest.mark.parametrize("limit", [(), ("--max-memory", "3000M")])
@pytest.mark.parametrize("suffix", [".tif", ".png", ".webp"])
def test_a_side_longer_than_opencv_reads(run, limit, suffix):
    """2^20 pixels and some, which cv2.imread refuses; WebP has no room for the result."""
    row = np.arange(2**20 + 9, dtype=np.uint32).astype(np.uint8)
    save("a.tif", np.array([row, row[::-1]]), compression="zlib")
    code, said = run("a.tif", "-o", "b" + suffix, "-s", "1.0", *limit)
    if suffix == ".webp":
        assert code == 1
        assert "write " in said
    else:
        assert code == 0, said
        with open("b" + suffix, "rb") as stream:
            head = stream.read(40)
        if suffix == ".png":
            assert int.from_bytes(head[16:20], "big") == row.size
        else:
            np.testing.assert_array_equal(tifffile.imread("b.tif"), [row, row[::-1]])


def test_a_budget_makes_no_difference_to_the_pixels(run, photo):
    color = photo("astronaut")
    color = np.dstack([color, color[..., :1] // 40 * 40])
    profile = b"\0\0\0\x84" + bytes(12) + b"RGB \0\0\0\0" + bytes(12) + b"acsp" + bytes(92)
    for name, picture in (("rgb", color[..., :3]), ("rgba", color)):
        extra = {"extrasamples": ["unassalpha"]} if name == "rgba" else {}
        tifffile.imwrite(
            "a.tif", picture[..., [2, 1, 0, 3][: picture.shape[2]]], photometric="rgb", iccprofile=profile, **extra
        )
        for suffix in (".png", ".tif"):
            for limit in ((), ("--max-memory", room())):
                code, said = run("a.tif", "-o", "b" + suffix, "--overwrite", "--exact", *limit, model="cvsr-small")
                assert code == 0, said
                found = reader.read("b" + suffix)
                expected = cvsr.Upscaler("cvsr-small", 2, exact=True)(picture)
                np.testing.assert_array_equal(found.image, expected)
                assert found.icc == profile


def test_palettes_and_single_bits_are_left_to_opencv(run):
    """They cannot be read row by row, so they are read as a whole."""
    tifffile.imwrite("a.tif", pages("uint8")[0] > 99, photometric="minisblack")
    code, said = run("a.tif", "--max-memory", room())
    assert code == 0, said
    np.testing.assert_array_equal(reader.read("a_x2.tif").image, doubled((pages("uint8")[0] > 99) * np.uint8(255)))


def test_normalizing_is_an_option(run):
    counts = pages()[:2] // 16
    save("a.tif", counts)
    results = []
    for options in ((), ("--normalize",)):
        assert run("a.tif", "--overwrite", *options, model="cvsr-small")[0] == 0
        results.append(tifffile.imread("a_x2.tif"))
    assert (results[0] != results[1]).any()
    assert results[1].max() <= counts.max()


def test_killed_at_any_moment_a_second_run_makes_the_whole(photo):
    stack = np.array([np.roll(photo("camera"), i, 0) for i in range(24)])
    save("a.tif", stack, compression="zlib")
    command = [sys.executable, "-m", "cvsr", "upscale", "a.tif", "-m", "cvsr-small", "--exact"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def written() -> int:
        sizes = [path.stat().st_size for path in Path().glob(".cvsr-*") if path.exists()]
        return max(sizes, default=0)

    for part in (1, 4_000_000):
        process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        halt(process, lambda part=part: written() >= part)
        process.kill()
        process.wait()
        assert not Path("a_x2.tif").exists()
    assert subprocess.run(command, env=environment, capture_output=True).returncode == 0
    assert sorted(path.name for path in Path().iterdir()) == ["a.tif", "a_x2.tif"]
    result = tifffile.imread("a_x2.tif")
    assert result.shape == (24, 1024, 1024)
    for number in (0, 23):
        expected = cvsr.upscale(stack[number], 2, model="cvsr-small", exact=True)
        np.testing.assert_array_equal(result[number], expected)


def test_a_page_of_several_strips_has_them_one_after_the_other(run, monkeypatch):
    monkeypatch.setattr(writer, "_STRIP_BYTES", 1000)
    save("a.tif", pages(), imagej=True)
    assert run("a.tif")[0] == 0
    assert [len(page.dataoffsets) for page in tifffile.TiffFile("a_x2.tif").pages] == [1] * 4
    np.testing.assert_array_equal(tifffile.imread("a_x2.tif"), doubled(pages()))


def test_a_missing_codec_is_named_and_single_pages_do_without(tmp_path):
    picture = pages("uint8", 1)[0]
    parameters = [cv2.IMWRITE_TIFF_COMPRESSION, 5]  # LZW
    assert cv2.imwrite("one.tif", picture, parameters)
    assert cv2.imwritemulti("two.tif", [picture, picture], parameters)
    script = (
        "import sys; sys.modules['imagecodecs'] = None; from cvsr import cli;"
        "sys.exit(cli.main(['upscale', 'one.tif', 'two.tif', '-m', 'nearest', '--max-memory', '2G', '-o', 'out/']))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert "two.tif, page 1: its compression, LZW, needs imagecodecs: pip install" in done.stderr
    np.testing.assert_array_equal(reader.read("out/one_x2.tif").image, doubled(picture))
    assert sorted(path.name for path in Path("out").iterdir()) == ["one_x2.tif"]
