"""Files larger than memory, within a budget of 512 MB of the whole process, and with the pixels of the whole."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from kit import onnxlite

import cvsr
from cvsr.io import reader
from cvsr.io.tiff import writer as tiffwriter
from cvsr.rasters.stacks import Stack

tifffile = pytest.importorskip("tifffile", reason="stacks are read with tifffile")
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell a process's peak"),
]

ROOT = Path(cvsr.__file__).parent.parent
BUDGET = 512 << 20
SCRIPT = (
    "import sys; from cvsr import cli, machine; code = cli.main(sys.argv[1:]);print(machine.peak()); sys.exit(code)"
)


def pattern(top: int, bottom: int, left: int, right: int) -> np.ndarray:
    """A part of a picture without end that repeats itself nowhere, and packs well."""
    y, x = np.arange(top, bottom, dtype=np.uint32)[:, None], np.arange(left, right, dtype=np.uint32)[None]
    return ((x // 7 ^ y // 5) * 3 + (x + y) // 64).astype(np.uint8)


def make(path: Path, width: int, height: int, **keywords: object) -> None:
    """Write the pattern in strips; nothing here holds more than one of them."""
    with open(path, "wb") as stream:
        writer = tiffwriter.TiffWriter(stream, (height, width), np.dtype("uint8"), **keywords)
        for top in range(0, height, 100):
            writer.write(pattern(top, min(height, top + 100), 0, width))
        writer.close()


def started(folder: Path, *arguments: str) -> subprocess.Popen:
    command = [sys.executable, "-c", SCRIPT, "upscale", *arguments, "--max-memory", "512M"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finished(process: subprocess.Popen) -> int:
    """Return the most bytes that a process held, after it has done all well."""
    out, error = process.communicate(timeout=1200)
    assert process.returncode == 0, error
    print(f"peak: {int(out) >> 20} MB of {BUDGET >> 20}")
    return int(out)


def kill_half_way(folder: Path, *arguments: str) -> None:
    process = started(folder, *arguments)
    while not any(path.stat().st_size > 20_000_000 for path in folder.glob(".cvsr-*")):
        assert process.poll() is None, "it was over before it could be killed"
        time.sleep(0.01)
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


def test_30000_x_30000_pixels_by_an_interpolation_killed_and_run_again(tmp_path):
    make(tmp_path / "a.tif", 30_000, 30_000)
    kill_half_way(tmp_path, "a.tif", "-m", "bicubic")
    assert [path.name for path in tmp_path.glob("[!.]*")] == ["a.tif"]
    assert finished(started(tmp_path, "a.tif", "-m", "bicubic")) <= BUDGET
    assert list(tmp_path.glob(".cvsr-*")) == []
    check(tmp_path / "a_x2.tif", (30_000, 30_000), cvsr.Upscaler("bicubic", 2), 2)


@pytest.mark.parametrize("packed", [True, False])
def test_30000_x_2500_pixels_by_a_network(tmp_path, tiny, packed):
    """As wide, which is what its memory depends on."""
    make(tmp_path / "a.tif", 30_000, 2_500, deflate=packed)
    assert finished(started(tmp_path, "a.tif", "-m", tiny, "--exact")) <= BUDGET
    check(tmp_path / "a_x2.tif", (30_000, 2_500), cvsr.Upscaler(tiny, 2, exact=True), 2)


def test_12000_x_1500_pixels_by_cvsr_small_into_png_and_tiff(tmp_path):
    make(tmp_path / "a.tif", 12_000, 1_500)
    assert finished(started(tmp_path, "a.tif", "-m", "cvsr-small", "--exact")) <= BUDGET
    check(tmp_path / "a_x2.tif", (12_000, 1_500), cvsr.Upscaler("cvsr-small", 2, exact=True), 2)
    assert finished(started(tmp_path, "a.tif", "-m", "cvsr-small", "--exact", "-o", "a.png")) <= BUDGET
    whole = reader.read(tmp_path / "a_x2.tif").image
    np.testing.assert_array_equal(reader.read(tmp_path / "a.png").image, whole)


def test_more_pixels_than_opencv_reads(tmp_path):
    """2^30 and some, tiled in a way that others write."""
    width, height, side = 40_000, 27_008, 512

    def tiles():
        for top in range(0, height, side):
            for left in range(0, width, side):
                part = pattern(top, min(height, top + side), left, min(width, left + side))
                yield np.pad(part, ((0, side - part.shape[0]), (0, side - part.shape[1])))

    tifffile.imwrite(
        tmp_path / "a.tif", tiles(), shape=(height, width), dtype="uint8", tile=(side, side), compression="zlib",
        photometric="minisblack", bigtiff=True, compressionargs={"level": 1},
    )  # fmt: skip
    assert finished(started(tmp_path, "a.tif", "-m", "area", "-s", "0.5")) <= BUDGET
    with Stack(tmp_path / "a_x0.5.tif") as stack:
        [page] = stack.pages
        for top in (0, 9_000, height // 2 - 100):
            expected = cvsr.upscale(pattern(2 * top, 2 * top + 200, 0, width), 0.5, model="area")
            np.testing.assert_array_equal(page.rows(top, top + 100), expected)


def stack_of(pages: int, photo: Callable[[str], np.ndarray]) -> Callable[[int], np.ndarray]:
    gray = photo("camera")[:400, :400].astype(np.uint16) * 257

    def page(number: int) -> np.ndarray:
        return np.roll(gray, 5 * number, 1) + np.uint16(number)

    return page


def test_a_stack_of_200_pages_of_16_bits_killed_and_run_again(tmp_path, photo):
    """Constant memory: no more for 200 pages than for 4, but for noise."""
    page = stack_of(200, photo)
    for name, count in (("few.tif", 4), ("many.tif", 200)):
        with tifffile.TiffWriter(tmp_path / name) as writer:
            for number in range(count):
                writer.write(page(number), photometric="minisblack", metadata=None)
    few = finished(started(tmp_path, "few.tif", "-m", "cvsr-small", "--exact"))
    kill_half_way(tmp_path, "many.tif", "-m", "cvsr-small", "--exact")
    assert sorted(path.name for path in tmp_path.glob("[!.]*")) == ["few.tif", "few_x2.tif", "many.tif"]
    many = finished(started(tmp_path, "many.tif", "-m", "cvsr-small", "--exact"))
    print(f"peaks: {few >> 20} MB for 4 pages, {many >> 20} MB for 200")
    assert few < BUDGET
    assert many < 1.1 * few, f"{many} bytes for 200 pages, {few} for 4"
    assert list(tmp_path.glob(".cvsr-*")) == []
    upscaler = cvsr.Upscaler("cvsr-small", 2, exact=True)
    with tifffile.TiffFile(tmp_path / "many_x2.tif") as file:
        assert len(file.pages) == 200
        for number in (0, 57, 199):
            np.testing.assert_array_equal(file.pages[number].asarray(), upscaler(page(number)))
