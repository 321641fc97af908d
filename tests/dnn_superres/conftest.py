"""Fixtures for the tests of the drop-in: small networks of all families, and an image."""

from __future__ import annotations

import pytest
from kit import graphdeflite, onnxlite


@pytest.fixture
def models(tmp_path):
    """A folder of small networks of all families; names say what they are, except for mine.pb."""
    for name, data in graphdeflite.FAMILIES.items():
        (tmp_path / f"{name}.pb").write_bytes(data)
    (tmp_path / "mine.pb").write_bytes(graphdeflite.espcn(3))
    (tmp_path / "net.onnx").write_bytes(onnxlite.conv_chain(4, 1, 2, 0, name="net"))
    return tmp_path


@pytest.fixture
def bgr(photo):
    return photo("astronaut")[40:81, 180:237]
