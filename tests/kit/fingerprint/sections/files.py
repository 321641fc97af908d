"""Pictures in files by ``cvsr upscale``: formats, what they carry, names of results, folders, pipes."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from sections import kit


def run(book: kit.Book) -> None:
    """Note results."""
    inputs = Path("in")
    inputs.mkdir()
    _make(inputs)
    for path in sorted(inputs.iterdir()):
        _note(book, path.name, path, "--exact")
    _conversions(book, inputs)
    _memory(book)
    _pipes(book, inputs)
    _folders(book)


def _make(folder: Path) -> None:
    photo = kit.photo()
    pictures: dict[str, Any] = {
        "color.png": photo, "gray.png": photo[:, :, 1], "alpha.png": kit.with_alpha(photo), "deep.png": kit.deep(photo),
        "deep_gray.png": kit.deep(photo[:, :, 1]), "deep_alpha.png": kit.deep(kit.with_alpha(photo)),
        "color.jpg": photo, "gray.jpg": photo[:, :, 1], "capitals.JPG": photo, "color.webp": photo,
        "alpha.webp": kit.with_alpha(photo), "color.tif": photo, "gray.tiff": photo[:, :, 1],
        "alpha.tif": kit.with_alpha(photo), "deep.tif": kit.deep(photo), "float.tif": kit.floats(photo),
        "color.bmp": photo, "gray.bmp": photo[:, :, 1], "color.ppm": photo, "deep.ppm": kit.deep(photo),
        "gray.pgm": photo[:, :, 1], "color.pfm": kit.floats(photo), "gray.pfm": kit.floats(photo)[:, :, 1],
        "color.hdr": kit.floats(photo), "color.jp2": photo, "color.avif": photo, "color.gif": photo,
    }  # fmt: skip
    for name, picture in pictures.items():
        try:
            cv2.imwrite(str(folder / name), picture)
        except cv2.error:  # this OpenCV cannot write such files
            (folder / name).unlink(missing_ok=True)
    _with_metadata(folder)
    (folder / "wrong_suffix.png").write_bytes((folder / "color.jpg").read_bytes())
    (folder / "cut.png").write_bytes((folder / "color.png").read_bytes()[:2000])
    (folder / "cut.jpg").write_bytes((folder / "color.jpg").read_bytes()[:1500])
    (folder / "empty.png").write_bytes(b"")
    (folder / "words.png").write_bytes(b"no picture at all")


def _with_metadata(folder: Path) -> None:
    from PIL import Image, ImageCms

    icc = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    icc[24:36] = bytes(12)  # when it was made
    icc[84:100] = bytes(16)  # and a checksum of that
    image = Image.fromarray(kit.photo()[:, :, ::-1])
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112], exif[0x010E] = orientation, "a photo"
        keywords = {"exif": exif.tobytes(), "icc_profile": bytes(icc)}
        image.save(folder / f"turned{orientation}.jpg", quality=95, **keywords)
        if orientation in (3, 6):
            image.save(folder / f"turned{orientation}.png", **keywords)
            image.save(folder / f"turned{orientation}.webp", lossless=True, **keywords)
            image.save(folder / f"turned{orientation}.tif", **keywords)
    image.convert("L").save(folder / "gray_of_color_profile.png", icc_profile=bytes(icc))
    image.quantize(16).save(folder / "palette.png")
    image.convert("1").save(folder / "bits.png")
    image.save(folder / "interlaced.jpg", progressive=True)
    image.convert("CMYK").save(folder / "cmyk.jpg")


def _note(book: kit.Book, name: str, source: Path, *arguments: str, target: str = "out/", model: str = "cvsr-small"):
    """Note the exit code, and the files that come out: their bytes, and what is in them."""
    folder = Path("results", name.replace("/", "_").replace(" ", "_"))
    folder.mkdir(parents=True)
    book(f"{name}/code", kit.code, "upscale", source, "-o", f"{folder}/{target}", "-m", model, *arguments)
    book(f"{name}/names", kit.tree, folder)
    for each in kit.tree(folder):
        inspect(book, f"{name}/{each}", (folder / each).read_bytes())


def inspect(book: kit.Book, name: str, data: bytes) -> None:
    """Note what a picture's file is: its bytes; and, to tell what has changed in it, pixels, EXIF, and profile."""
    from PIL import Image

    book(f"{name}/bytes", lambda: data)
    book(f"{name}/pixels", lambda: cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED))

    def metadata() -> dict[str, Any]:
        with Image.open(io.BytesIO(data)) as image:
            icc = image.info.get("icc_profile")
            exif = {hex(key): str(value) for key, value in image.getexif().items() if key < 0x8000}
            return {"format": image.format, "mode": image.mode, "icc": icc and kit.checksum(icc), "exif": exif}

    book(f"{name}/metadata", metadata)


def _conversions(book: kit.Book, inputs: Path) -> None:
    for format in ("png", "tiff", "jpg", "webp", "avif", "jp2", "bmp", "ppm", "pgm", "pfm", "hdr", "gif", ".PNG"):
        several = ("--exact", "--format", format, str(inputs / "alpha.png"), str(inputs / "gray.png"))
        _note(book, f"--format {format}", inputs / "deep.png", *several, model="bicubic")
    for quality in ("1", "50", "100"):
        for format in ("jpg", "webp"):
            _note(book, f"--quality {quality}/{format}", inputs / "color.png", "--quality", quality, "--format", format)
    for suffix in ("jpg", "tif", "png", "xyz", "webp"):
        _note(book, f"-o a.{suffix}", inputs / "turned6.jpg", target=f"a.{suffix}", model="bicubic")
    _note(book, "-o and --format", inputs / "color.png", "--format", "jpg", target="a.png")
    _note(book, "--size 100x70", inputs / "color.png", "--size", "100x70", "--exact")
    _note(book, "-s 1.5", inputs / "deep.png", "-s", "1.5", "--exact")
    _note(book, "-s 0.5", inputs / "color.jpg", "-s", "0.5", "--exact")
    _note(book, "--effort fast", inputs / "color.png", "--effort", "fast")
    _note(book, "--normalize", inputs / "float.tif", "--normalize", "--exact")
    _note(book, "--normalize of png", inputs / "color.png", "--normalize", "--exact")
    _note(book, "a deep network", inputs / "deep.png", "--exact", model="vdsr")


def _memory(book: kit.Book) -> None:
    cv2.imwrite("large.png", kit.photo(width=500, height=400, left=0, top=0))
    cv2.imwrite("large.tif", kit.deep(kit.photo(width=500, height=400, left=0, top=0)))
    for name in ("large.png", "large.tif"):
        for memory in ("1K", "300M", "2G"):
            for model in ("cvsr-small", "bicubic"):
                options = ["--exact", "--max-memory", memory]
                _note(book, f"--max-memory {memory}/{name}/{model}", Path(name), *options, model=model)
    options = ["--exact", "--max-memory", "400M", "--format", "jpg", "-s", "3.7"]
    _note(book, "--max-memory and a scale", Path("large.png"), *options)


def _pipes(book: kit.Book, inputs: Path) -> None:
    for name in ("color.png", "turned6.jpg", "deep.tif", "color.webp", "color.bmp", "words.png"):
        done = kit.cvsr("upscale", "-", "-m", "bicubic", stdin=(inputs / name).read_bytes())
        book.note(f"pipe/{name}/code", done.returncode)
        inspect(book, f"pipe/{name}", done.stdout)
    data = (inputs / "color.png").read_bytes()
    done = kit.cvsr("upscale", "-", "--format", "jpg", "-m", "bicubic", stdin=data)
    inspect(book, "pipe/--format", done.stdout)
    book("pipe/to a file", kit.code, "upscale", "-", "-o", "piped.tif", "-m", "bicubic", stdin=data)
    inspect(book, "pipe/file", Path("piped.tif").read_bytes())
    inspect(book, "pipe/to stdout", kit.cvsr("upscale", inputs / "color.jpg", "-o", "-", "-m", "bicubic").stdout)
    book("pipe/nothing", kit.code, "upscale", "-", stdin=b"")
    book("pipe/into a folder", kit.code, "upscale", "-", "-o", "somewhere/", stdin=data)


def _folders(book: kit.Book) -> None:
    for name in ("a.png", "below/b.jpg", "below/c.txt", "below/deeper/d.tif", ".hidden.png", "broken.png"):
        path = Path("album", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.stem in ("c", "broken"):
            path.write_text("no picture")
        else:
            cv2.imwrite(str(path), kit.photo(width=30 + len(name)))
    nearest = ("-m", "nearest")
    book("folder/flat", kit.code, "upscale", "album", "-o", "flat/", *nearest)
    book("folder/flat/names", kit.tree, Path("flat"))
    for number in (1, 2):
        book(f"folder/run {number}", kit.code, "upscale", "album", "-r", "-o", "all/", *nearest)
        book(f"folder/run {number}/names", kit.tree, Path("all"))
        target = Path("all/a_x2.png")
        if number == 1 and target.exists():
            target.write_bytes(b"mine")
    book("folder/skipped", target.read_bytes)
    book("folder/overwritten", kit.code, "upscale", "album", "-r", "-o", "all/", "--overwrite", *nearest)
    for name in kit.tree(Path("all")):
        book(f"folder/all/{name}", Path("all", name).read_bytes)
    book("folder/beside", kit.code, "upscale", "album/a.png", "album/below/*.jpg", "-s", "3", *nearest)
    book("folder/beside/again", kit.code, "upscale", "album/a.png", "album/below/*.jpg", "-s", "3", *nearest)
    book("folder/size", kit.code, "upscale", "album/a.png", "--size", "50x40", "--format", "webp", *nearest)
    book("folder/two of one name", kit.code, "upscale", "album/a.png", "flat/a_x2.png", "album/a.png", *nearest)
    book("folder/none", kit.code, "upscale", "album/below/*.gif", *nearest)
    book("folder/names", kit.tree, Path("album"))
