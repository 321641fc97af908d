"""What the sections share: photos, descriptions of results, and programs in processes of their own."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, TextIO

import numpy as np

TIMEOUT = 170  # seconds for a program


class Book:
    """Takes notes: a line of JSON each, at once, so that what comes before a crash is kept."""

    def __init__(self, section: str, stream: TextIO) -> None:
        self._section, self._stream = section, stream
        self._names: set[str] = set()

    def __call__(self, name: str, make: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
        """Note what ``make(*arguments)`` returns, or the class of what it raises; return the result, or None."""
        result = None
        try:
            result = make(*arguments, **keywords)
            value = describe(result)
        except Exception as error:
            value = f"raises {type(error).__name__}"
        self.note(name, value)
        return result

    def note(self, name: str, value: Any) -> None:
        """Note a value, under a name that is used once."""
        if name in self._names:
            raise ValueError(f"{name} is noted twice")
        self._names.add(name)
        self._stream.write(json.dumps([f"{self._section}/{name}", value], ensure_ascii=False) + "\n")
        self._stream.flush()


def describe(value: Any) -> Any:
    """Return JSON for a value: checksums of arrays and bytes, with their kind; paths by their names."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape} {checksum(np.ascontiguousarray(value).tobytes())}"
    if isinstance(value, (bytes, bytearray)):
        return f"{len(value)} bytes {checksum(value)}"
    if isinstance(value, Path):
        return value.name
    if isinstance(value, np.generic):
        return value.item()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: describe(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): describe(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [describe(each) for each in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else f"a {type(value).__name__}"


def checksum(data: bytes) -> str:
    """Return the SHA-256 of bytes."""
    return hashlib.sha256(data).hexdigest()


def structure(value: Any) -> Any:
    """Return the keys and the types of JSON; of a list, the different structures in it."""
    if isinstance(value, dict):
        return {key: structure(each) for key, each in value.items()}
    if isinstance(value, list):
        kinds = {json.dumps(structure(each), sort_keys=True): structure(each) for each in value}
        return [kinds[key] for key in sorted(kinds)]
    return "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value).__name__


@lru_cache
def photo(name: str = "astronaut", width: int = 64, height: int = 48, left: int = 190, top: int = 90) -> np.ndarray:
    """Return a crop of a photo of scikit-image, uint8 BGR (H, W, 3). It is shared: do not write into it."""
    from skimage import data

    return np.ascontiguousarray(getattr(data, name)()[top : top + height, left : left + width, 2::-1])


def gray(**place: int) -> np.ndarray:
    """Return a gray crop, uint8 (H, W)."""
    return np.ascontiguousarray(photo("chelsea", **place)[:, :, 1])


def with_alpha(image: np.ndarray) -> np.ndarray:
    """Return BGRA: holes, half transparent slopes, and opaque parts."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width]
    slope = np.clip(x * 8 - y * 4, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(np.dstack((image, slope)))


def deep(image: np.ndarray) -> np.ndarray:
    """Return 16 bits that use more than the upper 8 of them."""
    noise = np.random.default_rng(7).integers(0, 256, image.shape, np.uint16)
    return image.astype(np.uint16) * 256 + noise


def floats(image: np.ndarray) -> np.ndarray:
    """Return float32 0..1."""
    return deep(image).astype(np.float32) / np.float32(65535)


def screen(width: int = 160, height: int = 128) -> np.ndarray:
    """Return a picture with flat parts, as of a screen: uint8 BGR."""
    image = np.full((height, width, 3), (240, 236, 230), np.uint8)
    image[8:56, 8:72] = photo()
    image[90:94, 10:150] = (40, 30, 20)
    return image


def python(*arguments: str | Path, stdin: bytes | None = None, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """Run Python with arguments and return how that ended."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        input=b"" if stdin is None else stdin, capture_output=True, timeout=TIMEOUT, env=os.environ | variables,
    )  # fmt: skip


def cvsr(*arguments: str | Path, stdin: bytes | None = None, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """Run ``cvsr`` with arguments and return how that ended."""
    return python("-m", "cvsr", *arguments, stdin=stdin, **variables)


def code(*arguments: str | Path, **keywords: Any) -> int:
    """Run ``cvsr`` with arguments and return its exit code."""
    return cvsr(*arguments, **keywords).returncode


def answer(*arguments: str | Path) -> Any:
    """Return the JSON that ``cvsr`` prints."""
    return json.loads(cvsr(*arguments).stdout)


def models() -> dict[str, dict[str, Any]]:
    """Return the bundled models by name, as ``cvsr models --json`` lists them."""
    return {entry["name"]: entry for entry in answer("models", "--json")["models"]}


def tree(folder: Path) -> list[str]:
    """Return the files below a folder."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def installed() -> None:
    """Let verbs that come by entry points be found if cvsr is a checkout and not installed, here and in children."""
    from importlib.metadata import entry_points

    import tomllib

    import cvsr as package

    project = Path(package.__file__).parents[1] / "pyproject.toml"
    if list(entry_points(group="cvsr.verbs")) or not project.exists():
        return
    groups = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["entry-points"]
    folder = Path("entry_points").absolute()
    facts = folder / "cvsr-0.dist-info"
    facts.mkdir(parents=True)
    lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in names.items()) for group, names in groups.items()]
    (facts / "entry_points.txt").write_text("\n".join(lines))
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: cvsr\nVersion: 0\n")
    os.environ["PYTHONPATH"] = os.pathsep.join([os.environ.get("PYTHONPATH", ""), str(folder)])
    sys.path.append(str(folder))
