"""The table of formats: what it gives to others, and a format that is registered from outside in one place."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import pytest

import cvsr
from cvsr.cli import verbs
from cvsr.errors import FileError, OptionError
from cvsr.evaluate import evaluate
from cvsr.io import formats, header, reader
from cvsr.io.formats import FORMATS, Format
from cvsr.io.interface import BrokenFileError, Header

MAGIC = b"TOY\n"
FOLDERS = ".png .jpg .jpeg .jpe .webp .tif .tiff .bmp .dib .avif .gif .jp2 .pbm .pgm .ppm .pnm .pam .pfm .hdr .exr"
EVALUATION = ".png .jpg .jpeg .bmp .tif .tiff .webp .pgm .ppm"


class ToyWriter:
    def __init__(self, stream: BinaryIO, shape: tuple[int, ...], dtype: np.dtype) -> None:
        assert dtype == np.uint8
        self.stream, self.missing = stream, shape[0]
        stream.write(MAGIC + struct.pack("<HHB", *shape[:2], shape[2] if len(shape) == 3 else 1))

    def write(self, rows: np.ndarray) -> None:
        self.missing -= rows.shape[0]
        self.stream.write(rows.tobytes())

    def close(self) -> None:
        assert self.missing == 0


def toy_header(data: memoryview) -> Header:
    height, width, channels = struct.unpack_from("<HHB", data, len(MAGIC))
    if channels not in (1, 3):
        raise BrokenFileError(f"the toy has {channels} channels")
    return Header(".toy", width, height, channels)


def toy_decode(data: np.ndarray) -> np.ndarray:
    found = toy_header(memoryview(data))
    pixels = data[len(MAGIC) + 5 :]
    if pixels.size != found.pixels * found.pixel:
        raise ValueError("the toy is cut short")
    return pixels.reshape(found.height, found.width, *([3] if found.pixel == 3 else []))


@pytest.fixture(autouse=True)
def toy() -> Iterator[Format]:
    format = Format(
        name="toy",
        title="Toy",
        suffixes=(".toy",),
        signature=rb"TOY\n",
        media_type="image/x-toy",
        dtypes=("uint8",),
        channels=(1, 3),
        streams=True,
        evaluated=(".toy",),
        served=True,
        header=toy_header,
        decode=toy_decode,
        write=ToyWriter,
    )
    formats.register(format)
    yield format
    FORMATS.pop("toy", None)


def toy_bytes(image: np.ndarray) -> bytes:
    return MAGIC + struct.pack("<HHB", *image.shape[:2], image.shape[2] if image.ndim == 3 else 1) + image.tobytes()


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)


@pytest.fixture
def larger(picture) -> bytes:
    return toy_bytes(picture.repeat(2, axis=0).repeat(2, axis=1))


def test_a_registered_format_is_read(tmp_path, picture):
    (tmp_path / "a.bin").write_bytes(toy_bytes(picture))  # known by its first bytes, not by its name
    found = reader.read(tmp_path / "a.bin")
    np.testing.assert_array_equal(found.image, picture)
    assert found.suffix == ".toy"
    (tmp_path / "a.bin").write_bytes(toy_bytes(picture)[:-1])
    with pytest.raises(FileError, match=r"a\.bin cannot be decoded: the toy is cut short"):
        reader.read(tmp_path / "a.bin")


def test_a_registered_format_is_upscaled_and_written(tmp_path, picture, larger):
    (tmp_path / "a.toy").write_bytes(toy_bytes(picture))
    assert verbs.main(["upscale", str(tmp_path / "a.toy"), "-m", "nearest"]) == 0
    assert (tmp_path / "a_x2.toy").read_bytes() == larger
    arguments = ["upscale", str(tmp_path / "a_x2.toy"), "-m", "nearest", "-s", "0.5", "--format", "png"]
    assert verbs.main(arguments) == 0
    assert verbs.main(["upscale", str(tmp_path / "a_x2_x0.5.png"), "-m", "nearest", "--format", "toy"]) == 0
    assert (tmp_path / "a_x2_x0.5_x2.toy").read_bytes() == larger


def test_a_folder_is_searched_for_a_registered_format(tmp_path, picture, larger):
    (tmp_path / "in").mkdir()
    for name in ("a.toy", "b.TOY", "c.txt"):
        (tmp_path / "in" / name).write_bytes(toy_bytes(picture))
    assert verbs.main(["upscale", str(tmp_path / "in"), "-o", f"{tmp_path / 'out'}/", "-m", "nearest"]) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a_x2.toy", "b_x2.TOY"}
    assert (tmp_path / "out" / "b_x2.TOY").read_bytes() == larger


@pytest.mark.parametrize("channels", [1, 3])
def test_models_are_evaluated_on_a_registered_format(tmp_path, picture, channels):
    cv2 = pytest.importorskip("cv2")
    image = picture if channels == 3 else picture[..., 0]
    (tmp_path / "a.toy").write_bytes(toy_bytes(image))
    cv2.imwrite(str(tmp_path / "b.png"), image)
    own, png = evaluate(cvsr.Upscaler("bicubic"), tmp_path, 2).images
    assert (own.name, own.psnr, own.ssim) == ("a.toy", png.psnr, png.ssim)


def test_the_server_takes_and_sends_a_registered_format(picture, larger):
    pytest.importorskip("starlette", reason="the server needs the extra serve")
    pytest.importorskip("httpx", reason="Starlette's test client needs httpx")
    with warnings.catch_warnings():  # httpx is to have a successor
        warnings.simplefilter("ignore")
        from starlette.testclient import TestClient

    from cvsr.serve.app import application
    from cvsr.serve.limits import Limits

    limits = Limits(upload=100_000, pixels=10_000, timeout=30, queue=2)
    with TestClient(application("nearest", limits), base_url="http://127.0.0.1") as client:
        answer = client.post("/upscale", content=toy_bytes(picture))
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/x-toy"), answer.text
        assert answer.content == larger
        assert client.post("/upscale", content=toy_bytes(picture), params={"format": "png"}).content[1:4] == b"PNG"
        assert "toy has 9 channels" in client.post("/upscale", content=MAGIC + b"\1\0\1\0\x09").json()["error"]
        assert "image/x-toy" in client.get("/").text
        described = client.get("/openapi.json").json()["paths"]["/upscale"]["post"]
        assert "image/x-toy" in described["responses"]["200"]["content"]
        assert "Toy" in described["description"]


def test_help_and_errors_name_a_registered_format(capsys):
    with pytest.raises(SystemExit):
        verbs.main(["upscale", "--help"])
    assert "hdr, toy" in " ".join(capsys.readouterr().out.split())
    with pytest.raises(OptionError, match=r"can write png, tiff, .*toy"):
        formats.format_named("gif")
    with pytest.raises(ValueError, match="not a PNG, TIFF, JPEG, WebP, BMP or Toy file but GIF"):
        header.read(memoryview(b"GIF89a" + bytes(20)))


def test_the_sets_that_others_take_from_the_table():
    del FORMATS["toy"]
    assert formats.readable_suffixes() == set(FOLDERS.split())
    assert formats.evaluated_suffixes() == set(EVALUATION.split())
    assert [format.name for format in formats.accepted()] == ["png", "tiff", "jpg", "webp", "bmp"]
    assert {name for name, format in FORMATS.items() if format.served} == {"png", "jpg", "webp", "tiff"}


SIGNATURES = {
    "png": [b"\x89PNG\r\n\x1a\n"],
    "tiff": [b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"],
    "jpg": [b"\xff\xd8\xff\xe0"],
    "webp": [b"RIFF\n\n\n\nWEBP"],
    "avif": [b"\0\0\0\x1cftypavif", b"\0\0\0\nftypavis"],
    "heic": [b"\0\0\0\x18ftypheic", b"\0\0\0\x18ftypheix", b"\0\0\0\x18ftypmif1"],
    "jp2": [b"\0\0\0\x0cjP  \r\n", b"\xff\x4f\xff\x51"],
    "bmp": [b"BM"],
    "gif": [b"GIF87a", b"GIF89a"],
    "pbm": [b"P1", b"P4"],
    "pgm": [b"P2", b"P5"],
    "ppm": [b"P3", b"P6"],
    "pam": [b"P7"],
    "pfm": [b"PF", b"Pf"],
    "hdr": [b"#?RADIANCE", b"#?RGBE"],
    "exr": [b"v/1\x01"],
    "toy": [b"TOY\n"],
    "": [b"", b"RIFF\0\0\0\0WAVE", b"P8", b"II*", b"\0\0\0\x1cftypmp42", b"%PDF", b"xBM", b"#R"],
}


def test_first_bytes_tell_the_format():
    assert set(SIGNATURES) == {*FORMATS, ""}
    for name, beginnings in SIGNATURES.items():
        for beginning in beginnings:
            found = formats.sniff(memoryview(beginning + b"\n" * 40 if beginning else b""))
            assert (found.name if found else "") == name, beginning


def test_the_table_contradicts_itself_nowhere():
    suffixes = [suffix for format in FORMATS.values() for suffix in format.suffixes]
    assert len(suffixes) == len(set(suffixes))
    for name, format in FORMATS.items():
        assert format.name == name
        assert f".{name}" in format.suffixes
        assert set(format.evaluated) <= set(format.suffixes)
        assert bool(format.dtypes) == bool(format.channels)
        assert format.media_type.startswith("image/")
        assert not format.served or format.dtypes
        assert not format.streams or format.write


def test_suffixes_and_names_find_formats_that_can_be_written():
    assert [formats.format_of(each) for each in ("jpg", ".JPEG", ".jpe")] == [FORMATS["jpg"]] * 3
    assert formats.format_of(".heic") is formats.format_of(".gif") is formats.format_of(".txt") is None
    suffixes = (".TIF", ".gif", ".exr", ".heic", ".toy", "")
    assert [formats.result_suffix(suffix) for suffix in suffixes] == [".TIF", ".png", ".tiff", ".png", ".toy", ".png"]
