"""The notebook of the examples: kept without results, and its cells give what the library gives."""

from __future__ import annotations

import base64
from typing import Any

import cv2
import numpy as np
import pytest

nbformat = pytest.importorskip("nbformat", reason="notebooks are run with nbclient and ipykernel")
nbclient = pytest.importorskip("nbclient", reason="notebooks are run with nbclient")
pytest.importorskip("ipykernel", reason="the kernel that nbclient starts")
pytest.importorskip("matplotlib", reason="needs the extra plot")

import cvsr


@pytest.fixture
def notebook(root) -> Any:
    return nbformat.read(root / "examples" / "notebook.ipynb", as_version=4)


def test_it_is_kept_as_it_was_written(notebook):
    """Results, numbers of runs and facts of a machine would change with each run."""
    nbformat.validate(notebook)
    assert set(notebook.metadata) == {"kernelspec", "language_info"} and set(notebook.metadata.language_info) == {
        "name"
    }
    for cell in notebook.cells:
        assert not cell.metadata
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None


def test_its_cells_run(notebook, photo, tmp_path):
    nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = {cell.id: cell.outputs[-1].data for cell in notebook.cells if cell.cell_type == "code"}
    picture = np.frombuffer(base64.b64decode(shown["enlarge"]["image/png"]), np.uint8)
    expected = cvsr.Upscaler("cvsr-medium", 3)(photo("chelsea")[60:188, 90:282])
    np.testing.assert_array_equal(cv2.imdecode(picture, cv2.IMREAD_COLOR), expected)
    assert "image/png" in shown["measure"]
    assert "cat_compare.html" in shown["divider"]["text/html"]
    assert "a cat" in (tmp_path / "cat_compare.html").read_text(encoding="utf-8")
