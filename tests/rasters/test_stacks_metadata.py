"""What is written beside the pixels of a stack: ImageJ's and OME's metadata, pixel sizes, and what is left out."""

from __future__ import annotations

import json
import logging
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from kit.rasters import upscale_stack

import cvsr
from cvsr.io.tiff import directories
from cvsr.io.tiff import writer as tiffwriter

tifffile = pytest.importorskip("tifffile", reason="stacks are read with tifffile")

PAGES = np.random.default_rng(0).integers(0, 65536, (2, 3, 2, 20, 30), np.uint16)  # TZCYX
NEAREST = cvsr.Upscaler("nearest", 2)


def enlarged(tmp_path, name="a.tif", upscaler=NEAREST):
    upscale_stack(tmp_path / name, tmp_path / ("r_" + name), upscaler)
    return tifffile.TiffFile(tmp_path / ("r_" + name))


def imagej(path, pages=PAGES, **keywords):
    metadata = {"axes": "TZCYX", "spacing": 0.3, "unit": "um", "finterval": 1.5, **keywords.pop("metadata", {})}
    tifffile.imwrite(path, pages, imagej=True, resolution=(7.25, 5), metadata=metadata, **keywords)


def test_an_imagej_hyperstack_stays_one(tmp_path):
    labels = [f"page {i}" for i in range(12)]
    colors = [np.arange(256, dtype=np.uint8) * np.array([[1], [i], [0]], np.uint8) for i in (0, 1)]
    imagej(tmp_path / "a.tif", metadata={"Labels": labels, "LUTs": colors, "Ranges": (0.0, 9.0, 1.0, 8.0), "Info": "i"})
    with enlarged(tmp_path) as file:
        assert file.is_imagej
        assert file.series[0].axes == "TZCYX"
        np.testing.assert_array_equal(file.asarray(), PAGES.repeat(2, 3).repeat(2, 4))
        found = file.imagej_metadata
        assert found["spacing"] == 0.3
        assert found["unit"] == "um"
        assert found["finterval"] == 1.5
        assert found["Labels"] == labels
        assert found["Ranges"] == (0.0, 9.0, 1.0, 8.0)
        assert found["Info"] == "i"
        np.testing.assert_array_equal(found["LUTs"][1], colors[1])
        over, under = file.pages[0].tags["XResolution"].value
        assert over / under == 14.5
        over, under = file.pages[0].tags["YResolution"].value
        assert over / under == 10


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_imagej_reads_the_pages_behind_the_first_by_its_directory_alone(tmp_path, byteorder):
    """It does so wherever the description says images=N and nothing is compressed."""
    imagej(tmp_path / "a.tif", PAGES.astype(byteorder + "u2"), byteorder=byteorder)
    with enlarged(tmp_path) as file:
        [offset] = file.pages[0].dataoffsets
    data = (tmp_path / "r_a.tif").read_bytes()
    found = np.frombuffer(data, "<u2", 12 * 40 * 60, offset).reshape(2, 3, 2, 40, 60)
    np.testing.assert_array_equal(found, PAGES.repeat(2, 3).repeat(2, 4))


def test_imagej_stacks_of_one_directory_are_read_whole(tmp_path):
    imagej(tmp_path / "a.tif")
    data = bytearray((tmp_path / "a.tif").read_bytes())
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        end = file.pages[0].offset + 2 + 12 * len(file.pages[0].tags)
    data[end : end + 4] = bytes(4)  # as ImageJ does beyond 4 GB
    (tmp_path / "a.tif").write_bytes(data)
    with open(tmp_path / "a.tif", "rb") as stream:
        assert directories.read(stream).pages == 12
    with enlarged(tmp_path) as file:
        assert len(file.pages) == 12
        np.testing.assert_array_equal(file.asarray(), PAGES.repeat(2, 3).repeat(2, 4))


def test_regions_in_pixels_are_left_out_and_said(tmp_path, caplog):
    imagej(tmp_path / "a.tif", metadata={"ROI": b"Iout....", "Info": "kept"})
    with caplog.at_level(logging.WARNING, "cvsr"), enlarged(tmp_path) as file:
        assert "ROI" not in file.imagej_metadata
        assert file.imagej_metadata["Info"] == "kept"
    assert "regions of interest" in caplog.text


def test_the_origin_of_imagej_is_in_pixels(tmp_path):
    imagej(tmp_path / "a.tif", metadata={"xorigin": 10.5, "yorigin": -4})
    with enlarged(tmp_path) as file:
        assert file.imagej_metadata["xorigin"] == 21
        assert file.imagej_metadata["yorigin"] == -8


def test_ome_metadata_keeps_all_but_sizes(tmp_path):
    channels = {"Channel": {"Name": ["DAPI", "GFP"]}}
    metadata = {"axes": "TZCYX", "PhysicalSizeX": 0.25, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.5, **channels}
    tifffile.imwrite(tmp_path / "a.ome.tif", PAGES, ome=True, metadata=metadata, photometric="minisblack")
    before = tifffile.TiffFile(tmp_path / "a.ome.tif").ome_metadata
    with enlarged(tmp_path, "a.ome.tif", cvsr.Upscaler("bilinear", size=(90, 40))) as file:
        assert file.is_ome
        assert file.series[0].axes == "TZCYX"
        assert file.series[0].shape == (2, 3, 2, 40, 90)
        after = file.ome_metadata
    expected = before.replace('SizeX="30"', 'SizeX="90"').replace('SizeY="20"', 'SizeY="40"')
    expected = expected.replace('PhysicalSizeX="0.25"', 'PhysicalSizeX="0.08333333333333333"')
    assert after == expected.replace('PhysicalSizeY="0.5"', 'PhysicalSizeY="0.25"')
    ElementTree.fromstring(after.encode())


def test_ome_of_several_pictures_changes_each_by_its_own_size(tmp_path):
    other = np.zeros((2, 14, 16), np.uint16)
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as writer:
        for pages in (PAGES[0, :, 0], other):
            writer.write(pages, photometric="minisblack", metadata={"axes": "ZYX", "PhysicalSizeX": 1.0})
    with enlarged(tmp_path, "a.ome.tif") as file:
        assert [series.shape for series in file.series] == [(3, 40, 60), (2, 28, 32)]
        assert file.ome_metadata.count('PhysicalSizeX="0.5"') == 2


def test_resolution_means_the_same_size_in_print(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", PAGES[0, 0], photometric="minisblack", resolution=(300, 150), resolutionunit=2)
    with enlarged(tmp_path, upscaler=cvsr.Upscaler("nearest", 3)) as file:
        for page in file.pages:
            assert page.tags["XResolution"].value == (900, 1)
            assert page.tags["YResolution"].value == (450, 1)
            assert page.tags["ResolutionUnit"].value == 2


@pytest.mark.parametrize(("color", "planar"), [(False, False), (True, False), (True, True)])
def test_the_shape_that_tifffile_writes_is_changed(tmp_path, color, planar):
    pages = np.zeros((2, 5, 3, 20, 30) if planar else (2, 5, 20, 30, 3) if color else (2, 5, 20, 30), np.uint8)
    separate = {"planarconfig": "separate"} if planar else {}
    axes = "TZCYX" if planar else "TZYXS" if color else "TZYX"
    photometric = "rgb" if color else "minisblack"
    tifffile.imwrite(tmp_path / "a.tif", pages, photometric=photometric, metadata={"axes": axes, "n": 1}, **separate)
    with enlarged(tmp_path) as file:
        assert file.series[0].shape == ((2, 5, 40, 60, 3) if color else (2, 5, 40, 60))
        assert json.loads(file.pages[0].description)["n"] == 1


def test_what_describes_the_picture_is_copied(tmp_path):
    profile = b"\0\0\0\x84" + bytes(128)
    kept = [(269, 2, 0, "name", False), (33432, 2, 0, "(c) me", False), (34675, 7, len(profile), profile, False)]
    for order in "<>":
        tifffile.imwrite(
            tmp_path / "a.tif", PAGES[0, 0], byteorder=order, photometric="minisblack", software="s",
            description="a µ".encode(), datetime="2020:01:02 03:04:05",
            extratags=[*kept, (297, 3, 2, (4, 9), False)], metadata=None,
        )  # fmt: skip
        with enlarged(tmp_path) as file:
            for page, source in zip(file.pages, tifffile.TiffFile(tmp_path / "a.tif").pages, strict=True):
                for code in (269, 270, 297, 305, 306, 33432, 34675):
                    assert page.tags.valueof(code) == source.tags.valueof(code), code


def test_white_may_be_zero_and_gray_may_have_colors_to_look_at(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", PAGES[0, 0], photometric="miniswhite", metadata=None)
    with enlarged(tmp_path) as file:
        assert file.pages[1].photometric.name == "MINISWHITE"
        np.testing.assert_array_equal(file.pages[1].asarray()[::2, ::2], PAGES[0, 0, 1])
    colors = np.arange(768, dtype=np.uint16).reshape(3, 256) * 85
    tifffile.imwrite(
        tmp_path / "b.tif", PAGES[0, 0].astype(np.uint8), photometric="palette", colormap=colors, metadata=None,
        description="ImageJ=1.54f\nimages=2\n",
    )  # fmt: skip
    with enlarged(tmp_path, "b.tif") as file:
        np.testing.assert_array_equal(file.pages[0].colormap, colors)


def test_alpha_keeps_its_kind(tmp_path):
    pages = np.full((2, 9, 9, 4), 200, np.uint8)
    for kind in ("unassalpha", "assocalpha"):
        tifffile.imwrite(tmp_path / "a.tif", pages, photometric="rgb", extrasamples=[kind])
        with enlarged(tmp_path) as file:
            assert file.pages[1].extrasamples[0].name == kind.upper()


def test_files_that_need_it_become_bigtiff(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "a.tif", PAGES, photometric="minisblack")
    monkeypatch.setattr(tiffwriter, "_BIG", 12 * 40 * 60 * 2 - 1)
    with enlarged(tmp_path) as file:
        assert file.is_bigtiff
        np.testing.assert_array_equal(file.asarray(), PAGES.repeat(2, 3).repeat(2, 4))
    monkeypatch.setattr(tiffwriter, "_BIG", 12 * 40 * 60 * 2)
    with enlarged(tmp_path) as file:
        assert not file.is_bigtiff


def test_compression_is_kept_or_not_used(tmp_path):
    for compression, expected in ((None, 1), ("zlib", 8), ("lzma", 8)):
        tifffile.imwrite(tmp_path / "a.tif", PAGES[0, 0], photometric="minisblack", compression=compression)
        with enlarged(tmp_path) as file:
            assert int(file.pages[1].compression) == expected
