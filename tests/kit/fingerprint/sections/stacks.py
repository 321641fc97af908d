"""TIFFs of many pages and maps, by ``cvsr upscale``: pixels, and what describes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rasterio
import tifffile
from rasterio.transform import Affine

from sections import kit


def run(book: kit.Book) -> None:
    """Note results."""
    Path("in").mkdir()
    _make_stacks()
    _make_maps()
    for path in sorted(Path("in").iterdir()):
        _note(book, path.stem, path)
    for name in ("imagej", "float", "map", "ome"):
        for options in (["--normalize"], ["-s", "1.5"], ["--max-memory", "500M"], ["--size", "90x70"]):
            _note(book, f"{name}/{' '.join(options)}", Path("in", f"{name}.tif"), *options)
    _note(book, "network", Path("in/imagej.tif"), model="cvsr-small")
    _note(book, "network of a map", Path("in/map.tif"), model="cvsr-small")
    for options in (["--format", "png"], ["--format", "jpg"], ["-o", "a.png"]):
        book(f"one page only/{options}", kit.code, "upscale", "in/imagej.tif", *options, "-m", "nearest")
    done = kit.cvsr("upscale", "-", "-m", "nearest", stdin=Path("in/imagej.tif").read_bytes())
    book.note("pipe/code", done.returncode)
    Path("piped.tif").write_bytes(done.stdout)
    _inspect(book, "pipe", Path("piped.tif"))
    Path("both").mkdir()
    Path("both/stack.tif").write_bytes(Path("in/imagej.tif").read_bytes())
    cv2.imwrite("both/picture.png", kit.photo())
    for number in (1, 2):
        book(f"folder/run {number}", kit.code, "upscale", "both", "-o", "done/", "-m", "nearest")
        book(f"folder/run {number}/names", kit.tree, Path("done"))


def _pages(dtype: str = "uint16", count: int = 3, *, width: int = 50, height: int = 40) -> np.ndarray:
    full = kit.photo("coffee", width + count, height)
    pages = np.stack([full[:, page : page + width, page % 3] for page in range(count)])
    if dtype == "float32":
        return pages.astype(np.float32) * 3 - 100
    return pages.astype(dtype) * (257 if dtype == "uint16" else 1)


def _make_stacks() -> None:
    gray = {"photometric": "minisblack", "datetime": "2020:01:01 00:00:00", "software": "fingerprint"}
    save = tifffile.imwrite
    save(
        "in/imagej.tif",
        _pages(),
        imagej=True,
        resolution=(3, 3),
        metadata={"unit": "um", "spacing": 2.0, "axes": "ZYX"},
    )
    save("in/hyperstack.tif", _pages(count=6).reshape(3, 2, 40, 50), imagej=True, metadata={"axes": "TCYX"})
    ome = {
        "axes": "CZYX",
        "PhysicalSizeX": 0.2,
        "PhysicalSizeY": 0.2,
        "UUID": "urn:uuid:" + "0" * 8 + "-0000" * 3 + "-" + "0" * 12,
    }
    save("in/ome.tif", _pages(count=4).reshape(2, 2, 40, 50), ome=True, metadata=ome)
    save("in/bytes.tif", _pages("uint8"), **gray)
    save("in/float.tif", _pages("float32"), **gray)
    save("in/big.tif", _pages(), bigtiff=True, **gray)
    save("in/zlib.tif", _pages(), compression="zlib", predictor=True, tile=(16, 16), **gray)
    save("in/big_endian.tif", _pages(), byteorder=">", **gray)
    save("in/signed.tif", _pages("int16"), **gray)
    save("in/wide.tif", _pages("uint32"), **gray)
    save("in/half.tif", _pages("float32").astype(np.float16), **gray)
    save("in/doubles.tif", _pages("float32").astype(np.float64), **gray)
    save("in/one_float.tif", _pages("float32", 1)[0], **gray)
    save("in/white_is_zero.tif", _pages("uint8", 1)[0], photometric="miniswhite")
    color = np.stack([kit.photo(), kit.photo("coffee")])
    save("in/colors.tif", color, photometric="rgb")
    save("in/planar.tif", color.transpose(0, 3, 1, 2).copy(), photometric="rgb", planarconfig="separate")
    nan = _pages("float32")
    nan[:, 5:9, 5:20] = np.nan
    save("in/nan.tif", nan, **gray)
    with tifffile.TiffWriter("in/sizes.tif") as writer:
        for page in (_pages()[0], _pages(width=30)[0]):
            writer.write(page, photometric="minisblack")
    Path("in/cut.tif").write_bytes(Path("in/imagej.tif").read_bytes()[:7000])


def _make_maps() -> None:
    def save(name: str, bands: np.ndarray, *, mask: bool = False, **keywords: Any) -> None:
        profile = {"driver": "GTiff", "count": len(bands), "height": bands.shape[1], "width": bands.shape[2]}
        profile |= {"dtype": bands.dtype, "crs": "EPSG:32633", "transform": Affine(10, 0.5, 4e5, -0.25, -10, 5e6)}
        with (
            rasterio.Env(GDAL_TIFF_INTERNAL_MASK="YES"),
            rasterio.open(f"in/{name}.tif", "w", **profile | keywords) as file,
        ):
            file.write(bands)
            file.update_tags(PLACE="here")
            file.update_tags(1, WAVE="red")
            if mask:
                file.write_mask(np.tri(*bands.shape[1:], dtype=np.uint8) * 255)

    rgb = kit.photo()[:, :, ::-1].transpose(2, 0, 1)
    save("map", rgb, photometric="RGB", compress="deflate")
    save("map_tiled", _pages(count=4, width=64, height=64), tiled=True, blockxsize=16, blockysize=16, compress="lzw")
    save("map_masked", rgb, mask=True)
    holes = _pages(count=2)
    holes[:, 10:20, 5:30] = 7
    save("map_nodata", holes, nodata=7)
    heights = _pages("float32", 1)
    heights[:, 3:9, 3:9] = -9999
    save("map_float", heights, nodata=-9999, crs="EPSG:4326")


def _note(book: kit.Book, name: str, source: Path, *options: str, model: str = "nearest") -> None:
    target = Path("results", name.replace("/", "_").replace(" ", "_"), "a.tif")
    target.parent.mkdir(parents=True)
    book(f"{name}/code", kit.code, "upscale", source, "-o", target, "-m", model, "--exact", *options)
    book(f"{name}/names", kit.tree, target.parent)
    if target.exists():
        _inspect(book, name, target)


def _inspect(book: kit.Book, name: str, path: Path) -> None:
    book(f"{name}/bytes", path.read_bytes)
    book(f"{name}/pixels", tifffile.imread, path)

    def pages() -> list[Any]:
        with tifffile.TiffFile(path) as file:
            kinds = [file.is_imagej, file.is_ome, file.is_bigtiff, file.byteorder]
            series = [[each.axes, list(each.shape)] for each in file.series]
            return [*kinds, series, *([sorted(tag.name for tag in page.aspage().tags) for page in file.pages])]

    book(f"{name}/pages", pages)
    book(f"{name}/imagej", lambda: tifffile.TiffFile(path).imagej_metadata)
    book(f"{name}/ome", lambda: tifffile.TiffFile(path).ome_metadata)
    book(f"{name}/resolution", lambda: [str(_tag(path, tag)) for tag in (282, 283)])

    def place() -> list[Any]:
        with rasterio.open(path) as file:
            return [
                str(file.crs), list(file.transform), str(file.nodata), file.tags(), file.tags(1), file.compression,
                [list(shape) for shape in file.block_shapes], [color.name for color in file.colorinterp],
            ]  # fmt: skip

    if "map" in name:
        book(f"{name}/place", place)
        book(f"{name}/mask", lambda: rasterio.open(path).dataset_mask())


def _tag(path: Path, number: int) -> Any:
    with tifffile.TiffFile(path) as file:
        return file.pages[0].tags.valueof(number)
