"""Maps: what lies where stays where it is, missing pixels stay missing, and what describes the bands is kept."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from kit.rasters import upscale_map

import cvsr

rasterio = pytest.importorskip("rasterio", reason="maps are read with rasterio")

from rasterio.control import GroundControlPoint
from rasterio.rpc import RPC
from rasterio.transform import Affine
from rasterio.windows import Window

ROOT = Path(cvsr.__file__).parent.parent
TRANSFORM = Affine(10, 0.5, 399_960, -0.25, -10, 5_000_040)


def save(path, bands: np.ndarray, **keywords) -> None:
    """Write bands (n, H, W)."""
    mask, tags, colors = (keywords.pop(key, None) for key in ("mask", "tags", "colors"))
    profile = {"driver": "GTiff", "count": len(bands), "height": bands.shape[1], "width": bands.shape[2]}
    profile |= {"dtype": bands.dtype, "crs": "EPSG:32633", "transform": TRANSFORM, **keywords}
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK="YES"), rasterio.open(path, "w", **profile) as file:
        if colors:
            file.write_colormap(1, colors)
        file.write(bands)
        file.update_tags(**(tags or {}))
        if mask is not None:
            file.write_mask(mask)


def rgb(photo, dtype="uint8") -> np.ndarray:
    bands = photo("astronaut")[100:230, 60:200, ::-1].transpose(2, 0, 1)
    return bands if dtype == "uint8" else bands.astype(dtype) * 257


@pytest.fixture(scope="module")
def upscaler() -> cvsr.Upscaler:
    return cvsr.Upscaler("cvsr-small", 2, exact=True)


def enlarged(tmp_path, upscaler, **keywords):
    upscale_map(tmp_path / "a.tif", tmp_path / "b.tif", upscaler, **keywords)
    return rasterio.open(tmp_path / "b.tif")


def as_image(bands: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(bands[[2, 1, 0, 3][: len(bands)]].transpose(1, 2, 0))


@pytest.mark.parametrize("scale", [2, 3, 1.5])
def test_corners_stay_where_they_are(tmp_path, photo, scale):
    save(tmp_path / "a.tif", rgb(photo)[:1])
    with enlarged(tmp_path, cvsr.Upscaler("nearest", scale)) as result, rasterio.open(tmp_path / "a.tif") as source:
        assert result.crs == source.crs
        for corner in ((0, 0), (0, 1), (1, 0), (1, 1)):
            there = source.transform @ (corner[0] * source.width, corner[1] * source.height)
            here = result.transform @ (corner[0] * result.width, corner[1] * result.height)
            np.testing.assert_allclose(here, there, rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_colors_are_enlarged_together(tmp_path, photo, upscaler, dtype):
    save(
        tmp_path / "a.tif",
        rgb(photo, dtype),
        photometric="RGB",
        compress="lzw",
        tiled=True,
        blockxsize=64,
        blockysize=64,
    )
    with enlarged(tmp_path, upscaler) as result:
        np.testing.assert_array_equal(as_image(result.read()), upscaler(as_image(rgb(photo, dtype))))
        assert [color.name for color in result.colorinterp] == ["red", "green", "blue"]
        assert result.compression.name == "deflate"
        assert result.block_shapes[0] == (256, 256)


def test_alpha_is_enlarged_as_in_other_pictures(tmp_path, photo, upscaler):
    bands = np.concatenate([rgb(photo), rgb(photo)[:1]])
    bands[3, 40:60] = 0
    save(tmp_path / "a.tif", bands, photometric="RGB", alpha="yes")
    with enlarged(tmp_path, upscaler) as result:
        np.testing.assert_array_equal(as_image(result.read()), upscaler(as_image(bands)))
        assert result.colorinterp[3].name == "alpha"


@pytest.mark.parametrize("count", [2, 5])
@pytest.mark.parametrize("interleave", ["pixel", "band"])
def test_other_bands_are_enlarged_each_on_its_own(tmp_path, photo, upscaler, count, interleave):
    bands = np.concatenate([rgb(photo, "uint16"), rgb(photo, "uint16")[:, ::-1]])[:count]
    save(tmp_path / "a.tif", bands, interleave=interleave, photometric="MINISBLACK")
    with enlarged(tmp_path, upscaler) as result:
        expected = np.array([upscaler(np.ascontiguousarray(band)) for band in bands])
        np.testing.assert_array_equal(result.read(), expected)


def test_what_describes_it_is_kept_and_statistics_are_not(tmp_path, photo, upscaler):
    save(tmp_path / "a.tif", rgb(photo)[:2], photometric="MINISBLACK", tags={"AREA_OR_POINT": "Point", "SENSOR": "x"})
    with rasterio.open(tmp_path / "a.tif", "r+") as file:
        file.descriptions, file.units = ("red edge", "near infrared"), ("1", "K")
        file.scales, file.offsets = (0.5, 0.25), (1.0, 0.0)
        file.update_tags(2, wavelength="842", STATISTICS_MAXIMUM="255")
    with enlarged(tmp_path, upscaler) as result, rasterio.open(tmp_path / "a.tif") as source:
        assert result.descriptions == ("red edge", "near infrared")
        assert result.units == ("1", "K")
        assert (result.scales, result.offsets) == ((0.5, 0.25), (1.0, 0.0))
        assert result.tags()["SENSOR"] == "x"
        assert result.tags()["AREA_OR_POINT"] == "Point"
        assert result.tags(2) == {"wavelength": "842"}
        np.testing.assert_allclose(result.transform @ (0, 0), source.transform @ (0, 0))


@pytest.mark.parametrize(
    ("dtype", "nodata"), [("float32", -9999), ("float32", np.nan), ("int16", -32768), ("uint8", 0)]
)
def test_missing_pixels_stay_missing_and_do_not_spread(tmp_path, photo, upscaler, dtype, nodata):
    unit = photo("camera")[100:230, 60:200] / 255
    heights = {"float32": 300 + 900 * unit, "int16": 300 + 900 * unit, "uint8": 1 + 254 * unit}[dtype].astype(dtype)
    heights[0, 0], heights[0, 1] = heights.min(), heights.max()  # so that the range is the same without the hole
    holed = heights.copy()
    hole = np.zeros(heights.shape, bool)
    hole[50:70, 30:60] = hole[10, 10] = True
    holed[hole] = nodata
    save(tmp_path / "a.tif", heights[None])
    with enlarged(tmp_path, upscaler) as result:
        whole = result.read(1).astype(float)
    save(tmp_path / "a.tif", holed[None], nodata=nodata)
    with enlarged(tmp_path, upscaler) as result:
        assert result.nodata == nodata or np.isnan(nodata)
        large = hole.repeat(2, 0).repeat(2, 1)
        np.testing.assert_array_equal(result.read_masks(1) == 0, large)
        values = result.read(1).astype(float)
    span = float(heights.max()) - float(heights.min())
    assert values[~large].min() >= heights.min() - span / 10
    near = values[96:144, 56:124][~large[96:144, 56:124]] - whole[96:144, 56:124][~large[96:144, 56:124]]
    assert np.abs(near).max() < span / 2, "the value for no data shows around the hole"
    assert np.abs(values[160:] - whole[160:]).max() <= max(1, span / 1000)


def test_a_value_that_only_looks_missing_moves_by_a_step(tmp_path):
    ramp = np.tile(np.arange(0, 250, 10, dtype=np.uint8), (20, 1))
    ramp[:, 20] = 55  # from 50 to 60 the bilinear way, through 57 and 58
    save(tmp_path / "a.tif", ramp[None], nodata=57)
    with enlarged(tmp_path, cvsr.Upscaler("bilinear", 2)) as result:
        assert (result.read_masks(1) > 0).all()


def test_a_mask_is_enlarged_too(tmp_path, photo, upscaler):
    mask = np.full((130, 140), 255, np.uint8)
    mask[20:90, 31:77] = 0
    save(tmp_path / "a.tif", rgb(photo), photometric="RGB", mask=mask)
    with enlarged(tmp_path, upscaler) as result:
        np.testing.assert_array_equal(result.dataset_mask(), mask.repeat(2, 0).repeat(2, 1))
        values = as_image(result.read())
        np.testing.assert_array_equal(values[::2, ::2][mask == 0], as_image(rgb(photo))[mask == 0])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tif", "b.tif"]


def test_classes_are_not_mixed(tmp_path, photo):
    classes = (rgb(photo)[:1] // 64).astype(np.uint8)
    save(tmp_path / "a.tif", classes, colors={0: (0, 0, 255, 255), 1: (0, 99, 0, 255)})
    with pytest.raises(cvsr.FileError, match="nearest"):
        enlarged(tmp_path, cvsr.Upscaler("bilinear", 2))
    assert not (tmp_path / "b.tif").exists()
    with enlarged(tmp_path, cvsr.Upscaler("nearest", 2)) as result:
        np.testing.assert_array_equal(result.read(), classes.repeat(2, 1).repeat(2, 2))
        assert result.colormap(1)[1] == (0, 99, 0, 255)


def test_ground_control_points_move_with_the_pixels(tmp_path, photo):
    points = [GroundControlPoint(row, col, 10 + col, 20 - row) for row, col in ((0, 0), (0, 140), (130, 0), (65, 70))]
    save(tmp_path / "a.tif", rgb(photo)[:1], gcps=points, transform=None, crs="EPSG:4326")
    with enlarged(tmp_path, cvsr.Upscaler("nearest", 2)) as result:
        found, crs = result.gcps
        assert [(p.row, p.col, p.x, p.y) for p in found] == [(2 * p.row, 2 * p.col, p.x, p.y) for p in points]
        assert crs.to_epsg() == 4326


def test_rational_polynomials_are_those_of_the_larger_pixels(tmp_path, photo):
    one = [1.0] + [0.0] * 19
    rpcs = RPC(
        height_off=0, height_scale=1, lat_off=1, lat_scale=2, line_den_coeff=one, line_num_coeff=one, line_off=64.5,
        line_scale=65, long_off=3, long_scale=4, samp_den_coeff=one, samp_num_coeff=one, samp_off=69.5, samp_scale=70,
    )  # fmt: skip
    save(tmp_path / "a.tif", rgb(photo)[:1], rpcs=rpcs)
    with enlarged(tmp_path, cvsr.Upscaler("nearest", 2)) as result:
        found = result.rpcs
        assert (found.line_off, found.samp_off, found.line_scale, found.samp_scale) == (129.5, 139.5, 130, 140)
        assert (found.lat_off, found.long_scale) == (1, 4)


@pytest.mark.parametrize("dtype", ["int32", "uint32", "complex64"])
def test_types_without_a_way_are_refused(tmp_path, dtype):
    save(tmp_path / "a.tif", np.zeros((1, 20, 20), dtype))
    with pytest.raises(cvsr.FileError, match=dtype):
        enlarged(tmp_path, cvsr.Upscaler("nearest", 2))
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


def test_damaged_files_are_refused(tmp_path, photo):
    save(tmp_path / "a.tif", rgb(photo), compress="deflate")
    data = (tmp_path / "a.tif").read_bytes()
    for length in (200, len(data) // 2):
        (tmp_path / "a.tif").write_bytes(data[:length])
        with pytest.raises(cvsr.FileError):
            enlarged(tmp_path, cvsr.Upscaler("nearest", 2))
        assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


class TestCommandLine:
    def run(self, *arguments, cwd):
        command = [sys.executable, "-m", "cvsr", "upscale", *arguments]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.run(command, cwd=cwd, env=environment, capture_output=True)

    def test_maps_are_written_as_maps(self, tmp_path, photo, upscaler):
        save(tmp_path / "a.tif", rgb(photo), photometric="RGB")
        for arguments in ((), ("--max-memory", "3000M", "--overwrite")):
            done = self.run("a.tif", "-m", "cvsr-small", "--exact", *arguments, cwd=tmp_path)
            assert done.returncode == 0, done.stderr
            with rasterio.open(tmp_path / "a_x2.tif") as result:
                assert result.crs.to_epsg() == 32633
                assert result.transform.a == 5
                np.testing.assert_array_equal(as_image(result.read()), upscaler(as_image(rgb(photo))))

    def test_losing_the_georeferencing_is_reported_for_pipes_only(self, tmp_path, photo):
        save(tmp_path / "a.tif", rgb(photo), photometric="RGB")
        assert b"map" not in self.run("a.tif", "-o", "a.png", cwd=tmp_path).stderr
        done = self.run("a.tif", "-o", "-", cwd=tmp_path)
        assert done.returncode == 0
        assert b"georeferencing is dropped (writing to a file keeps it)" in done.stderr


def test_without_rasterio_it_says_what_to_type(tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(cvsr.OptionError, match=r'pip install "\.\[geo\]"'):
        upscale_map(tmp_path / "a.tif", tmp_path / "b.tif", cvsr.Upscaler("nearest", 2))


@pytest.mark.parametrize(("width", "height"), [(8_000, 6_000), pytest.param(20_000, 12_000, marks=pytest.mark.long)])
def test_a_map_larger_than_memory(tmp_path, width, height):
    """Its result (576 MB, or 2880) within 512 MB; a part of it equals that part on its own."""
    profile = {"driver": "GTiff", "width": width, "height": height, "count": 3, "dtype": "uint8", "photometric": "RGB"}
    profile |= {"crs": "EPSG:32633", "transform": TRANSFORM, "compress": "deflate", "tiled": True, "zlevel": 1}

    def pattern(top, bottom, left=0, right=width):
        y, x = np.arange(top, bottom, dtype=np.uint32)[:, None], np.arange(left, right, dtype=np.uint32)[None]
        return np.array([(x // 7 ^ y // 5) * k + (x + y) // 64 for k in (1, 2, 3)]).astype(np.uint8)

    with rasterio.Env(GDAL_CACHEMAX=64 << 20), rasterio.open(tmp_path / "a.tif", "w", **profile) as file:
        for top in range(0, height, 256):
            bottom = min(height, top + 256)
            file.write(pattern(top, bottom), window=Window(0, top, width, bottom - top))
    script = (
        "import sys; from cvsr import cli, machine; code = cli.main(sys.argv[1:]);print(machine.peak()); sys.exit(code)"
    )
    command = [sys.executable, "-c", script, "upscale", "a.tif", "-m", "bicubic", "--max-memory", "512M"]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) <= 512 << 20, done.stdout
    with rasterio.open(tmp_path / "a_x2.tif") as result:
        assert result.shape == (2 * height, 2 * width)
        for top, left in ((0, 0), (height // 2 - 10, width // 2 - 1), (height - 100, width - 100)):
            part = as_image(pattern(max(0, top - 8), min(height, top + 108), max(0, left - 8), min(width, left + 108)))
            y, x = min(top, 8), min(left, 8)
            expected = cvsr.upscale(part, 2, model="bicubic")[2 * y : 2 * y + 200, 2 * x : 2 * x + 200]
            found = as_image(result.read(window=Window(2 * left, 2 * top, 200, 200)))
            np.testing.assert_array_equal(found, expected)
