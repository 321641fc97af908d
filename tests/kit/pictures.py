"""Pictures and their files, made by Pillow and by cvsr."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image as Pillow

from cvsr._cv2 import cv2
from cvsr.io import encoder, formats, reader


def smooth(height=24, width=40, channels=3) -> np.ndarray:
    """A picture without symmetry that survives lossy formats."""
    random = np.random.default_rng(3)
    small = random.integers(0, 256, (3, 4, channels), dtype=np.uint8)
    picture = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    picture[: height // 3, : width // 4] = 255
    return picture


PEAKS = {"uint8": 255, "uint16": 65535, "float32": 1}
"""The value of white, by dtype."""


def colorful(shape: tuple[int, ...], dtype: str = "uint8") -> np.ndarray:
    """A picture of any kind with smooth random colors, some of them at the ends of the range."""
    random = np.random.default_rng(shape)
    small = random.random((4, 5, *shape[2:]))
    rows, columns = (np.arange(n) * 4 // n for n in shape[:2])
    values = np.clip(small[rows][:, columns] * 1.4 - 0.2 + 0.05 * random.random(shape), 0, 1)
    return values.astype(dtype) if dtype == "float32" else np.rint(values * PEAKS[dtype]).astype(dtype)


def pillow_file(image: Pillow.Image, format: str, **keywords) -> np.ndarray:
    stream = io.BytesIO()
    image.save(stream, format, **keywords)
    return np.frombuffer(bytearray(stream.getvalue()), np.uint8)


def rgb(bgr: np.ndarray) -> Pillow.Image:
    return Pillow.fromarray(np.ascontiguousarray(bgr[..., [2, 1, 0, 3][: bgr.shape[2]]]))


def written(picture: reader.Picture, suffix: str, quality: int | None = None) -> bytes:
    format = formats.format_of(suffix)
    assert format is not None
    image = encoder.fit(picture.image, format)
    dtype = encoder.dtype_for(image.dtype, format)
    stream = io.BytesIO()
    metadata = {"exif": picture.exif, "icc": picture.icc}
    writer = encoder.open_writer(stream, format, image.shape, dtype, quality=quality, **metadata)
    writer.write(encoder.convert(image, dtype))
    writer.close()
    return stream.getvalue()
