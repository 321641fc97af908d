"""What tests of several extras need."""

from __future__ import annotations

from pathlib import Path

import onnxlite
import pytest


@pytest.fixture
def model(tmp_path) -> Path:
    """An untrained network."""
    path = tmp_path / "random_x2.onnx"
    path.write_bytes(onnxlite.conv_chain(8, 2, 2))
    return path
