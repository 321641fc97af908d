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
