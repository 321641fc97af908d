"""What every test may use: real photos, and the data sets where they are."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Generator
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from kit import onnxlite

cv2.ocl.haveOpenCL()  # before TensorFlow is imported, whose LLVM crashes a driver (pocl) that starts after it

# a machine that is busy with something else makes no example wrong
settings.register_profile("cvsr", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("cvsr")

ROOT = Path(__file__).resolve().parent.parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests of code that calls OpenCV (`opencv`), and those of files that skip where a package is missing."""
    for item in items:
        if calls_opencv(item.path.relative_to(ROOT / "tests").parts[0]):
            item.add_marker("opencv")
        if may_skip(item.path):
            item.add_marker("extras")


@cache
def calls_opencv(place: str) -> bool:
    """Tell whether the room of cvsr, or the module, that a folder or file of tests mirrors imports cv2."""
    room = ROOT / "cvsr" / place.removeprefix("test_")
    if room.is_dir():
        modules = room.glob("*.py")
    else:  # "upscaler_tiles.py" tests "upscaler.py" too
        words = room.stem.split("_")
        modules = [room.with_name("_".join(words[:n]) + ".py") for n in range(1, len(words) + 1)]
        modules = [path for path in modules if path.is_file()]
    return any("cvsr._cv2 import" in path.read_text(encoding="utf-8") for path in modules)


@cache
def may_skip(path: Path) -> bool:
    """Tell whether a file of tests needs a package that the README's test command does not install."""
    text = path.read_text(encoding="utf-8")
    needs = r"^(\w+ = )?pytest\.importorskip\(|needs the extra|import chromium|from kit\.testclient"
    return re.search(needs, text, re.M) is not None


@pytest.fixture(scope="session", autouse=True)
def _no_plans_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Generator[None]:
    """Let tests run by the rules, whatever ``cvsr tune`` has measured here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CVSR_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def photo() -> Callable[[str], np.ndarray]:
    """Give a photo of the scikit-image wheel, which needs no network, as 8-bit BGR or gray: ``photo("astronaut")``.

    Color: astronaut, coffee, chelsea (a cat), rocket. Gray: camera, coins, page, text, moon.
    """
    data = pytest.importorskip("skimage.data", reason="the photos of the tests come from scikit-image")

    def load(name: str) -> np.ndarray:
        image = getattr(data, name)()
        return np.ascontiguousarray(image[..., 2::-1] if image.ndim == 3 else image)

    return load


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of the literature's data sets, with ``images/Set5`` and others, or a skip."""
    folder = os.environ.get("CVSR_DATA")
    if not folder:
        pytest.skip("CVSR_DATA is not set: it names the folder with images/Set5, images/Set14 …")
    if not Path(folder).is_dir():
        pytest.skip(f"CVSR_DATA names {folder}, which is no folder")
    return Path(folder)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, bytes], Path]:
    """Give a function that writes a file of this name and these bytes into an empty folder and returns its path."""

    def to(name: str, data: bytes) -> Path:
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    return to


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Give the file of an untrained network."""
    path = tmp_path / "random_x2.onnx"
    path.write_bytes(onnxlite.conv_chain(8, 2, 2))
    return path


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder of untrained networks for x2 and x3, with receptive fields of radius 5."""
    folder = tmp_path_factory.mktemp("random")
    for scale in (2, 3):
        (folder / f"random_x{scale}.onnx").write_bytes(onnxlite.conv_chain(8, 2, scale, scale))
    return folder
