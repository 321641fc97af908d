"""The examples: short, linked from the README, of every kind; .ci/run and tests of their own run them."""

from __future__ import annotations

import runpy
from pathlib import Path

import cv2
import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
LANGUAGES = {".py", ".ipynb", ".cpp", ".mjs"}
PROGRAMS = sorted(path for pattern in ("*.*", "cpp/*.*", "js/*.*") for path in EXAMPLES.glob(pattern))
PROGRAMS = [path for path in PROGRAMS if path.suffix in LANGUAGES]


@pytest.mark.parametrize("path", [path for path in PROGRAMS if path.suffix != ".ipynb"], ids=lambda path: path.name)
def test_an_example_is_read_at_a_glance(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 40


def test_the_readme_links_each_one(root):
    readme = (root / "README.md").read_text(encoding="utf-8")
    folders = {path.parent for path in PROGRAMS if path.parent != EXAMPLES}
    names = [path.name for path in PROGRAMS if path.parent == EXAMPLES]
    names += [path.name for path in EXAMPLES.glob("*.md")] + [f"{folder.name}/" for folder in folders]
    assert len(names) >= 15
    assert [name for name in names if f"](examples/{name})" not in readme] == []


def test_ci_runs_what_is_in_the_folder(root):
    """Python by .ci/run, others by a test that names them."""
    assert "for example in examples/*.py" in (root / ".ci" / "run").read_text(encoding="utf-8")
    tests = "".join(path.read_text(encoding="utf-8") for path in (root / "tests").rglob("test_*.py"))
    others = [path.name for path in PROGRAMS if path.suffix in (".ipynb", ".mjs")]
    assert [name for name in others if f'"{name}"' not in tests] == []


def test_the_camera_is_shown_enlarged_until_escape(monkeypatch):
    """There is none in CI, where the example only says so."""
    seen, keys = [], iter([-1, -1, 27])
    shots = (np.full((40, 60, 3), i, np.uint8) for i in range(9))
    monkeypatch.setattr("sys.argv", ["webcam.py", "1"])
    monkeypatch.setattr("cvsr.video.frames", lambda camera, upscaler: (upscaler(shot) for shot in shots if camera == 1))
    monkeypatch.setattr(cv2, "imshow", lambda title, image: seen.append(image), raising=False)
    monkeypatch.setattr(cv2, "waitKey", lambda _: next(keys), raising=False)
    runpy.run_path(str(EXAMPLES / "webcam.py"))
    assert [image.shape for image in seen] == [(80, 120, 3)] * 3
