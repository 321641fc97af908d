"""The installed opencv-* wheels, and what to type if they overwrite each other; needs no cv2."""

import importlib.metadata as metadata
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Wheel:
    """An installed distribution that owns cv2, and the folder that it was installed into."""

    name: str
    version: str
    folder: str = ""


def installed() -> list[Wheel]:
    """Return the installed distributions that own cv2."""
    names = sorted(set(metadata.packages_distributions().get("cv2", [])))
    folders = [str(metadata.distribution(name).locate_file("cv2")) for name in names]
    return [Wheel(name, metadata.version(name), folder) for name, folder in zip(names, folders, strict=True)]


def conflicting(wheels: Sequence[Wheel]) -> list[Wheel]:
    """Return the wheels that share a folder with another one."""
    return [wheel for wheel in wheels if sum(wheel.folder == other.folder for other in wheels) > 1]


def repair_line(wheels: Sequence[Wheel], *, headless: bool | None = None) -> str:
    """Return the command that leaves one wheel with all features of the installed ones, of the same major version."""
    one = "opencv-contrib-python" if any("contrib" in wheel.name for wheel in wheels) else "opencv-python"
    if headless if headless is not None else all("headless" in wheel.name for wheel in wheels):
        one += "-headless"
    if all(wheel.version.startswith("4.") for wheel in wheels):
        one = f'"{one}<5"'
    return f"pip uninstall -y {' '.join(wheel.name for wheel in wheels)} && pip install --no-cache-dir {one}"
