"""Stacks of pages enlarged from TIFF to TIFF: all kinds of pages, and the same pixels as each page on its own."""

from __future__ import annotations

import numpy as np
import pytest
from kit.rasters import upscale_stack

import cvsr
from cvsr._cv2 import cv2
from cvsr.io import reader
from cvsr.rasters.normalize import Scale

tifffile = pytest.importorskip("tifffile", reason="stacks are read with tifffile")

KINDS = {
    "gray 8": ((3, 90, 110), "uint8"),
    "gray 16": ((3, 90, 110), "uint16"),
    "gray float": ((3, 90, 110), "float32"),
    "rgb 8": ((2, 70, 83, 3), "uint8"),
    "rgb 16": ((2, 70, 83, 3), "uint16"),
    "rgba 8": ((2, 70, 83, 4), "uint8"),
    "rgb float": ((2, 70, 83, 3), "float32"),
}
LAYOUTS = {
    "one strip": {"rowsperstrip": 10_000},
    "strips": {"rowsperstrip": 17},
    "deflate": {"compression": "zlib", "rowsperstrip": 16},
    "predicted": {"compression": "zlib", "predictor": True, "rowsperstrip": 16},
    "tiles": {"tile": (32, 48)},
    "deflated tiles": {"tile": (32, 32), "compression": "zlib"},
    "lzma": {"compression": "lzma"},
    "big endian": {"byteorder": ">"},
    "big endian deflate": {"byteorder": ">", "compression": "zlib"},
}


@pytest.fixture(scope="module")
def upscaler() -> cvsr.Upscaler:
    return cvsr.Upscaler("cvsr-small", 2, exact=True, tile=32)


def content(shape: tuple[int, ...], dtype: str, photo) -> np.ndarray:
    """Parts of a photo and noise, of the whole range; some of it transparent."""
    random = np.random.default_rng(5)
    whole = photo("astronaut")[..., ::-1] / 255
    pages = []
    for number in range(shape[0]):
        page = whole[40 * number :, 60 * number :][: shape[1], : shape[2]]
        page = (page + random.normal(0, 0.01, page.shape)).clip(0, 1)
        page = page[..., 1] if len(shape) == 3 else np.dstack([page, page[..., 0] > 0.5])[..., : shape[3]]
        pages.append(page)
    top = 1 if dtype.startswith("float") else np.iinfo(dtype).max
    scaled = np.array(pages) * top
    return scaled.astype(dtype) if top == 1 else np.rint(scaled).astype(dtype)


def save(path, pages: np.ndarray, **keywords) -> None:
    color = pages.shape[-1] in (3, 4) and pages.ndim == 4
    extra = {"extrasamples": ["unassalpha"]} if color and pages.shape[-1] == 4 else {}
    tifffile.imwrite(path, pages, photometric="rgb" if color else "minisblack", **extra, **keywords)


def swapped(page: np.ndarray) -> np.ndarray:
    return page if page.ndim == 2 else np.ascontiguousarray(page[..., [2, 1, 0, 3][: page.shape[2]]])


def expected(pages: np.ndarray, upscaler: cvsr.Upscaler) -> np.ndarray:
    return np.array([swapped(upscaler(swapped(page))) for page in pages])


@pytest.mark.parametrize("kind", KINDS)
def test_pages_are_enlarged_as_each_on_its_own(tmp_path, photo, upscaler, kind):
    pages = content(*KINDS[kind], photo)
    save(tmp_path / "a.tif", pages)
    upscale_stack(tmp_path / "a.tif", tmp_path / "b.tif", upscaler)
    result = tifffile.imread(tmp_path / "b.tif")
    assert result.dtype == pages.dtype
    np.testing.assert_array_equal(result, expected(pages, upscaler))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_read(tmp_path, photo, upscaler, layout):
    for kind in ("gray 16", "rgb 8"):
        pages = content(*KINDS[kind], photo)
        save(tmp_path / "a.tif", pages, **LAYOUTS[layout])
        upscale_stack(tmp_path / "a.tif", tmp_path / "b.tif", cvsr.Upscaler("nearest", 2))
        result = tifffile.imread(tmp_path / "b.tif")
        np.testing.assert_array_equal(result, pages.repeat(2, 1).repeat(2, 2), err_msg=kind)


def test_planes_one_after_the_other_are_read(tmp_path, photo):
    pages = content((2, 70, 83, 3), "uint8", photo)
    tifffile.imwrite(
        tmp_path / "a.tif", pages.transpose(0, 3, 1, 2), photometric="rgb", planarconfig="separate", rowsperstrip=9
    )
    upscale_stack(tmp_path / "a.tif", tmp_path / "b.tif", cvsr.Upscaler("nearest", 2))
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "b.tif"), pages.repeat(2, 1).repeat(2, 2))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("compression", [5, 32946], ids=["lzw", "old deflate"])
def test_what_tifffile_alone_does_not_decode_is_decoded_by_imagecodecs(tmp_path, photo, dtype, compression):
    pytest.importorskip("imagecodecs")
    shape = (2, 90, 110, 3) if dtype == "uint8" else (2, 90, 110)
    pages = content(shape, dtype, photo)
    parameters = [cv2.IMWRITE_TIFF_COMPRESSION, compression, cv2.IMWRITE_TIFF_ROWSPERSTRIP, 16]
    assert cv2.imwritemulti(str(tmp_path / "a.tif"), [swapped(page) for page in pages], parameters)
    assert int(tifffile.TiffFile(tmp_path / "a.tif").pages[0].compression) == compression
    upscale_stack(tmp_path / "a.tif", tmp_path / "b.tif", cvsr.Upscaler("nearest", 2))
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "b.tif"), pages.repeat(2, 1).repeat(2, 2))


def test_each_of_65536_grays_stays_distinct(tmp_path):
    ramp = np.arange(65536, dtype=np.uint16).reshape(1, 256, 256)
    save(tmp_path / "a.tif", np.concatenate([ramp, ramp[:, ::-1]]))
    upscale_stack(tmp_path / "a.tif", tmp_path / "b.tif", cvsr.Upscaler("cvsr-small", 2))
    result = tifffile.imread(tmp_path / "b.tif")
    grays = len(np.unique(result[0]))
    assert grays > 60_000, f"{grays} grays of 65536 are left"
    inner = result[0].reshape(256, 2, 256, 2).mean((1, 3))[8:-8, 8:-8]
    assert np.abs(inner - ramp[0, 8:-8, 8:-8]).max() < 200  # less than a step of 8 bits, which is 257


@pytest.mark.parametrize(
    ("dtype", "low", "high"), [("float32", -20.0, 4000.0), ("int16", -900, 3000), ("float64", 0, 9)]
)
def test_measured_values_keep_their_unit_and_one_range_is_for_all_pages(tmp_path, photo, upscaler, dtype, low, high):
    unit = content((2, 60, 70), "float32", photo)
    unit[1] *= 0.3
    unit[0, 0, :2] = 0, 1
    pages = (low + unit * (high - low)).astype(dtype)
    save(tmp_path / "a.tif", pages)
    upscale_stack(tmp_path / "a.tif", tmp_path / "b.tif", upscaler)
    result = tifffile.imread(tmp_path / "b.tif").astype(float)
    assert tifffile.imread(tmp_path / "b.tif").dtype == dtype
    wanted = low + expected(unit, upscaler).astype(float) * (high - low)
    assert np.abs(result - wanted).max() <= (high - low) / 1000 + (1 if dtype == "int16" else 0)
    assert result[1].max() < low + 0.4 * (high - low)


def test_normalizing_can_be_asked_for_and_limits_can_be_named(tmp_path, photo):
    pages = content((2, 60, 70), "uint16", photo) // 16  # 12 bits
    save(tmp_path / "a.tif", pages)
    upscaler = cvsr.Upscaler("cvsr-small", 2)
    results = []
    for normalize in (None, True, (0, 4095)):
        upscale_stack(tmp_path / "a.tif", tmp_path / "b.tif", upscaler, normalize=normalize)
        results.append(tifffile.imread(tmp_path / "b.tif").astype(int))
    same = upscaler(pages[0].astype(np.float32) / 4095) * 4095
    assert np.abs(results[2][0] - same).max() <= 1
    assert np.abs(results[1] - results[2]).max() < 100
    assert (results[0] != results[2]).any()
    with pytest.raises(cvsr.FileError, match="invalid range"):
        upscale_stack(tmp_path / "a.tif", tmp_path / "b.tif", upscaler, normalize=(5, 5))


def test_missing_values_stay_missing_and_do_not_spread(tmp_path, photo, upscaler):
    pages = content((2, 60, 70), "float32", photo) * 50
    clean = pages.copy()
    pages[0, 20:30, 10:20] = np.nan
    pages[1, 5, 5] = np.inf
    save(tmp_path / "a.tif", pages)
    upscale_stack(tmp_path / "a.tif", tmp_path / "b.tif", upscaler)
    result = tifffile.imread(tmp_path / "b.tif")
    np.testing.assert_array_equal(np.isnan(result), np.isnan(pages).repeat(2, 1).repeat(2, 2))
    assert np.isinf(result[1, 10:12, 10:12]).all()
    assert np.isinf(result).sum() == 4
    save(tmp_path / "c.tif", clean)
    upscale_stack(tmp_path / "c.tif", tmp_path / "d.tif", upscaler)
    far = np.abs(result - tifffile.imread(tmp_path / "d.tif"))[0]
    assert np.nanmax(far[:20]) < 0.01, "rows far from the gap changed"


def test_pages_of_several_sizes_and_types(tmp_path, photo):
    pages = [photo("camera")[:40, :50], photo("camera")[:33, :20].astype(np.uint16) * 257, photo("astronaut")[:20, :31]]
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for page in pages:
            rgb = page.ndim == 3
            writer.write(page[..., ::-1] if rgb else page, photometric="rgb" if rgb else "minisblack", metadata=None)
    upscale_stack(tmp_path / "a.tif", tmp_path / "b.tif", cvsr.Upscaler("nearest", 3))
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        assert len(file.pages) == 3
        for page, result in zip(pages, file.pages, strict=True):
            np.testing.assert_array_equal(swapped(result.asarray()), page.repeat(3, 0).repeat(3, 1))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pages_come_out_upright(tmp_path, photo, orientation):
    page = photo("camera")[:40, :50]
    save(tmp_path / "a.tif", np.array([page, page]), extratags=[(274, 3, 1, orientation, False)], rowsperstrip=7)
    upscale_stack(tmp_path / "a.tif", tmp_path / "b.tif", cvsr.Upscaler("nearest", 2))
    cv2.imwrite(str(tmp_path / "one.tif"), page)
    upright = reader.turn(page, orientation).repeat(2, 0).repeat(2, 1)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "b.tif")[1], upright)


def test_smaller_copies_are_no_pages(tmp_path, photo, caplog):
    gray = photo("camera")
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for page in (gray, gray[::-1]):
            writer.write(page, photometric="minisblack", metadata=None)
            writer.write(page[::4, ::4], photometric="minisblack", subfiletype=1, metadata=None)
    upscale_stack(tmp_path / "a.tif", tmp_path / "b.tif", cvsr.Upscaler("nearest", 2))
    assert [page.shape for page in tifffile.TiffFile(tmp_path / "b.tif").pages] == [(1024, 1024)] * 2


@pytest.mark.parametrize(
    ("pages", "keywords", "why"),
    [
        (np.zeros((2, 9, 9), np.int32), {}, "int32"),
        (np.zeros((2, 9, 9), bool), {}, "1 bits"),
        (np.zeros((2, 9, 9), np.complex64), {}, "complex64"),
        (np.zeros((2, 9, 9, 5), np.uint8), {"planarconfig": "contig"}, "5 samples"),
        (np.full((2, 9, 9), np.nan, np.float32), {}, "missing"),
    ],
)
def test_pages_that_cannot_be_enlarged_are_refused_in_words_and_leave_nothing(tmp_path, pages, keywords, why):
    tifffile.imwrite(tmp_path / "a.tif", pages, photometric="minisblack", **keywords)
    with pytest.raises(cvsr.FileError, match=why):
        upscale_stack(tmp_path / "a.tif", tmp_path / "b.tif", cvsr.Upscaler("nearest", 2))
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


@pytest.mark.parametrize("keep", [0.3, 0.7, 0.95])
@pytest.mark.parametrize("layout", ["strips", "deflate", "tiles"])
def test_files_cut_short_are_refused(tmp_path, photo, keep, layout):
    save(tmp_path / "a.tif", content((3, 90, 110), "uint16", photo), **LAYOUTS[layout])
    data = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(cvsr.FileError):
        upscale_stack(tmp_path / "a.tif", tmp_path / "b.tif", cvsr.Upscaler("nearest", 2))
    assert not (tmp_path / "b.tif").exists()


def test_it_can_be_watched_and_stopped(tmp_path, photo):
    save(tmp_path / "a.tif", content((3, 90, 110), "uint8", photo))
    seen: list[float] = []
    upscaler = cvsr.Upscaler("cvsr-small", 2, tile=32)
    upscale_stack(tmp_path / "a.tif", tmp_path / "b.tif", upscaler, progress=lambda step: seen.append(step.done))
    assert seen == sorted(seen) and seen[-1] == 3 and len(seen) > 30
    with pytest.raises(cvsr.Cancelled):
        upscale_stack(tmp_path / "a.tif", tmp_path / "c.tif", upscaler, cancel=lambda: len(seen) > 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tif", "b.tif"]


def test_the_source_is_never_its_own_target(tmp_path):
    save(tmp_path / "a.tif", np.zeros((2, 9, 9), np.uint8))
    with pytest.raises(cvsr.FileError, match="overwrite its own input"):
        cvsr.upscale_file(tmp_path / "a.tif", tmp_path / "a.tif", model="nearest", overwrite=True)
    with pytest.raises(cvsr.FileError, match="2 pages, and png holds one"):
        cvsr.upscale_file(tmp_path / "a.tif", tmp_path / "a.png", model="nearest")


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int8", "int16", "float16", "float32", "float64"])
def test_scaling_and_back_loses_nothing(dtype):
    kind = np.dtype(dtype)
    limits = np.iinfo(kind) if kind.kind in "ui" else np.finfo(np.float16)
    values = np.linspace(float(limits.min) / 2, float(limits.max) / 2, 10_001).astype(kind)[None]
    scale = Scale(kind, float(values.min()), float(values.max()), plain=False)
    unit = scale.to_network(values)
    assert unit.dtype == np.float32
    assert unit.min() == 0
    assert unit.max() == 1
    back = scale.from_network(unit)
    assert back.dtype == kind
    tolerance = 0 if kind.kind in "ui" else 1e-6 * float(values.max() - values.min()) + 16 * (dtype == "float16")
    assert np.abs(back.astype(float) - values.astype(float)).max() <= tolerance
