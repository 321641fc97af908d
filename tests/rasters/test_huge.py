"""Files larger than memory, within a budget of 512 MB of the whole process, and with the pixels of the whole.

Those marked `long` are gigabytes; the others are as small as still shows it:
results larger than the budget, rows as wide.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from kit import onnxlite
from kit.processes import halt

import cvsr
from cvsr.io import reader
from cvsr.io.tiff import writer as tiffwriter
from cvsr.rasters.stacks import Stack

tifffile = pytest.importorskip("tifffile", reason="stacks are read with tifffile")
pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="the system does not tell a process's peak"
)


def sizes(names: str, short: object, *long: object) -> pytest.MarkDecorator:
    """Run a test with the short arguments, and in a run of the `long` tests with the long ones."""
    return pytest.mark.parametrize(names, [short, *(pytest.param(*each, marks=pytest.mark.long) for each in long)])


ROOT = Path(cvsr.__file__).parent.parent
BUDGET = 512 << 20
SCRIPT = (
    "import sys; from cvsr import cli, machine; code = cli.main(sys.argv[1:]);print(machine.peak()); sys.exit(code)"
)


def pattern(top: int, bottom: int, left: int, right: int) -> np.ndarray:
    """A part of an endless picture that never repeats and compresses well."""
    y, x = np.arange(top, bottom, dtype=np.uint32)[:, None], np.arange(left, right, dtype=np.uint32)[None]
    return ((x // 7 ^ y // 5) * 3 + (x + y) // 64).astype(np.uint8)


def make(path: Path, width: int, height: int, **keywords: object) -> None:
    """Write the pattern in strips; nothing here holds more than one of them."""
    with open(path, "wb") as stream:
        writer = tiffwriter.TiffWriter(stream, (height, width), np.dtype("uint8"), **keywords)
        for top in range(0, height, 100):
            writer.write(pattern(top, min(height, top + 100), 0, width))
        writer.close()


def started(folder: Path, *arguments: str, **variables: str) -> subprocess.Popen:
    command = [sys.executable, "-c", SCRIPT, "upscale", *arguments, "--max-memory", "512M"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finished(process: subprocess.Popen) -> int:
    """Return the peak memory of a process in bytes, after it has succeeded."""
    out, error = process.communicate(timeout=3600)
    assert process.returncode == 0, error
    print(f"peak: {int(out) >> 20} MB of {BUDGET >> 20}")
    return int(out)


def kill_half_way(folder: Path, *arguments: str) -> None:
    process = started(folder, *arguments)
    halt(process, lambda: any(path.stat().st_size > 20_000_000 for path in folder.glob(".cvsr-*")))
    process.kill()
    process.communicate()


def check(path: Path, size: tuple[int, int], upscaler: cvsr.Upscaler, scale: int, side: int = 96) -> None:
    """Compare parts of a result, at corners and across borders of tiles, with what they are on their own."""
    width, height = size
    halo = 24
    with Stack(path) as stack:
        [page] = stack.pages
        assert page.shape == (height * scale, width * scale)
        for top in sorted({0, height // 3, height // 2 - side // 2, height - side}):
            rows = page.rows(top * scale, (top + side) * scale)
            for left in (0, width // 3, width // 2 - side // 2, width - side):
                y, x = max(0, top - halo), max(0, left - halo)
                part = pattern(y, min(height, top + side + halo), x, min(width, left + side + halo))
                expected = upscaler(part)[(top - y) * scale :, (left - x) * scale :][: side * scale, : side * scale]
                np.testing.assert_array_equal(rows[:, left * scale :][:, : side * scale], expected, f"{top}, {left}")


@pytest.fixture
def tiny(tmp_path) -> str:
    (tmp_path / "tiny.onnx").write_bytes(onnxlite.conv_chain(4, 1, 2))
    return str(tmp_path / "tiny.onnx")


@sizes("side", 12_000, [30_000])
def test_squares_by_an_interpolation_killed_and_run_again(tmp_path, side):
    make(tmp_path / "a.tif", side, side)
    kill_half_way(tmp_path, "a.tif", "-m", "bicubic")
    assert [path.name for path in tmp_path.glob("[!.]*")] == ["a.tif"]
    assert finished(started(tmp_path, "a.tif", "-m", "bicubic")) <= BUDGET
    assert list(tmp_path.glob(".cvsr-*")) == []
    check(tmp_path / "a_x2.tif", (side, side), cvsr.Upscaler("bicubic", 2), 2)


@pytest.mark.parametrize("packed", [True, False])
@sizes("height", 400, [2_500])
def test_30000_pixels_wide_by_a_network(tmp_path, tiny, packed, height):
    """The width is that of a huge picture: memory depends on it, not on the height."""
    make(tmp_path / "a.tif", 30_000, height, deflate=packed)
    assert finished(started(tmp_path, "a.tif", "-m", tiny, "--exact")) <= BUDGET
    check(tmp_path / "a_x2.tif", (30_000, height), cvsr.Upscaler(tiny, 2, exact=True), 2)


@sizes("height", 300, [1_500])
def test_12000_pixels_wide_by_cvsr_small_into_png_and_tiff(tmp_path, height):
    make(tmp_path / "a.tif", 12_000, height)
    assert finished(started(tmp_path, "a.tif", "-m", "cvsr-small", "--exact")) <= BUDGET
    check(tmp_path / "a_x2.tif", (12_000, height), cvsr.Upscaler("cvsr-small", 2, exact=True), 2)
    assert finished(started(tmp_path, "a.tif", "-m", "cvsr-small", "--exact", "-o", "a.png")) <= BUDGET
    whole = reader.read(tmp_path / "a_x2.tif").image
    np.testing.assert_array_equal(reader.read(tmp_path / "a.png").image, whole)


@sizes("width, height, limit", (4_000, 2_704, "1048576"), [40_000, 27_008, ""])
def test_more_pixels_than_opencv_reads(tmp_path, width, height, limit):
    """More than 2^30 pixels, or than a lower limit set for OpenCV, in tiles as other programs write them."""
    side, variables = 512, {"OPENCV_IO_MAX_IMAGE_PIXELS": limit} if limit else {}

    def tiles():
        for top in range(0, height, side):
            for left in range(0, width, side):
                part = pattern(top, min(height, top + side), left, min(width, left + side))
                yield np.pad(part, ((0, side - part.shape[0]), (0, side - part.shape[1])))

    tifffile.imwrite(
        tmp_path / "a.tif", tiles(), shape=(height, width), dtype="uint8", tile=(side, side), compression="zlib",
        photometric="minisblack", bigtiff=True, compressionargs={"level": 1},
    )  # fmt: skip
    assert finished(started(tmp_path, "a.tif", "-m", "area", "-s", "0.5", **variables)) <= BUDGET
    with Stack(tmp_path / "a_x0.5.tif") as stack:
        [page] = stack.pages
        for top in (0, height // 3, height // 2 - 100):
            expected = cvsr.upscale(pattern(2 * top, 2 * top + 200, 0, width), 0.5, model="area")
            np.testing.assert_array_equal(page.rows(top, top + 100), expected)


def stack_of(pages: int, photo: Callable[[str], np.ndarray]) -> Callable[[int], np.ndarray]:
    gray = photo("camera")[:400, :400].astype(np.uint16) * 257

    def page(number: int) -> np.ndarray:
        return np.roll(gray, 5 * number, 1) + np.uint16(number)

    return page


@sizes("pages", 40, [200])
def test_a_stack_of_16_bits_killed_and_run_again(tmp_path, photo, pages):
    """Constant memory: no more for many pages than for 4, but for noise."""
    page = stack_of(pages, photo)
    for name, count in (("few.tif", 4), ("many.tif", pages)):
        with tifffile.TiffWriter(tmp_path / name) as writer:
            for number in range(count):
                writer.write(page(number), photometric="minisblack", metadata=None)
    few = finished(started(tmp_path, "few.tif", "-m", "cvsr-small", "--exact"))
    kill_half_way(tmp_path, "many.tif", "-m", "cvsr-small", "--exact")
    assert sorted(path.name for path in tmp_path.glob("[!.]*")) == ["few.tif", "few_x2.tif", "many.tif"]
    many = finished(started(tmp_path, "many.tif", "-m", "cvsr-small", "--exact"))
    print(f"peaks: {few >> 20} MB for 4 pages, {many >> 20} MB for {pages}")
    assert few < BUDGET
    assert many < 1.1 * few, f"{many} bytes for {pages} pages, {few} for 4"
    assert list(tmp_path.glob(".cvsr-*")) == []
    upscaler = cvsr.Upscaler("cvsr-small", 2, exact=True)
    with tifffile.TiffFile(tmp_path / "many_x2.tif") as file:
        assert len(file.pages) == pages
        for number in (0, pages // 3, pages - 1):
            np.testing.assert_array_equal(file.pages[number].asarray(), upscaler(page(number)))
