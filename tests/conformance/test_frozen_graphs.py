"""Frozen graphs on every OpenCV: rewritten as ONNX, by its importer, without that, and by its own dnn_superres."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from kit import graphdeflite
from kit.venvs import ENVIRONMENTS, Unavailable, cache_folder, child_variables, locked, prepare, run, scripts

pytestmark = pytest.mark.conformance

CHILD = Path(__file__).parents[1] / "kit" / "frozen_child.py"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Small networks of every family, and the public ones where they are."""
    folder = tmp_path_factory.mktemp("frozen")
    for name, data in graphdeflite.FAMILIES.items():
        (folder / f"{name}.pb").write_bytes(data)
    public = Path(os.environ.get("CVSR_DATA") or folder) / "models" / "dnn_superres_pb"
    return [*sorted(folder.glob("*.pb")), *sorted(public.glob("*.pb"))]


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=lambda environment: environment.name)
def test_numbers_and_pictures(environment, files, photo, root, tmp_path):
    try:
        with locked(cache_folder()):
            python = scripts(prepare(environment)) / "python"
    except Unavailable as reason:
        pytest.skip(str(reason))
    np.save(tmp_path / "image.npy", photo("astronaut")[40:72, 180:220])
    variables = child_variables({**environment.variables, "PYTHONPATH": str(root)})
    run([python, CHILD, tmp_path / "image.npy", *files], env=variables)
