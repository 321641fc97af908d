"""The drop-in for dnn_superres on every OpenCV, with that module or without: the original's pictures, and no harm done.

Where an OpenCV has no dnn_superres, its pictures are compared with what the same version's contrib build gives.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from kit import graphdeflite, shuffles
from kit.venvs import (
    ENVIRONMENTS,
    Environment,
    Unavailable,
    cache_folder,
    child_variables,
    locked,
    prepare,
    run,
    scripts,
)

pytestmark = pytest.mark.conformance

CHILD = Path(__file__).parents[1] / "kit" / "dnn_superres_child.py"
SMALL = ("espcn_x3", "fsrcnn_x2", "fsrcnn_x4", "lapsrn_x4", "edsr_x2")
BY_NAME = {environment.name: environment for environment in ENVIRONMENTS}
# Debian's build of 4.6 differs from the wheels by up to two steps
WHEEL_46 = Environment("contrib-headless-4.6", ("opencv-contrib-python-headless==4.6.0.66", "numpy<2"))
CONTRIB = [
    BY_NAME[name] for name in ("system", "contrib-headless-4.8", "contrib-headless-4.14", "contrib-headless-5.0")
]
PLAIN = [
    (Environment("headless-4.6", ("opencv-python-headless==4.6.0.66", "numpy<2")), WHEEL_46),
    (Environment("headless-4.8", ("opencv-python-headless==4.8.1.78", "numpy<2")), CONTRIB[1]),
    (BY_NAME["headless-4.14"], CONTRIB[2]),
    (BY_NAME["headless-5.0"], CONTRIB[3]),
]
PAIRS = [*((environment, environment) for environment in CONTRIB), *PLAIN]
every_pair = pytest.mark.parametrize("environment, contrib", PAIRS, ids=[pair[0].name for pair in PAIRS])


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Small networks of every family, the public ones where they are, and two with a shuffle in the middle."""
    folder = tmp_path_factory.mktemp("models")
    for name in SMALL:
        (folder / f"{name}.pb").write_bytes(graphdeflite.FAMILIES[name])
    for name, data in shuffles.NETWORKS.items():
        (folder / name).write_bytes(data)
    (folder / "frozen").mkdir()
    (folder / "frozen" / "fsrcnn_eight_x2.pb").write_bytes(shuffles.frozen())
    return folder


@pytest.fixture(scope="module")
def child(root):
    """Run a job of the child in an environment; skip where that cannot exist here."""

    def job(environment: Environment, *arguments: object) -> dict:
        try:
            with locked(cache_folder()):
                python = scripts(prepare(environment)) / "python"
        except Unavailable as reason:
            pytest.skip(str(reason))
        variables = child_variables({**environment.variables, "PYTHONPATH": str(root)})
        return json.loads(run([python, CHILD, *arguments], env=variables).stdout.splitlines()[-1])

    return job


@pytest.fixture(scope="module")
def pictures(child, folder, photo, tmp_path_factory):
    """Give the pictures of an environment by ``whose/model/kind``, made when they are first asked for."""
    public = sorted((Path(os.environ.get("CVSR_DATA") or folder) / "models" / "dnn_superres_pb").glob("*.pb"))
    made: dict[str, dict[str, np.ndarray]] = {}

    def get(environment: Environment) -> dict[str, np.ndarray]:
        if environment.name not in made:
            place = tmp_path_factory.mktemp("pictures")
            np.save(place / "image.npy", photo("astronaut")[40:107, 180:271])
            models = [*sorted(folder.glob("*.pb")), *public]
            child(environment, "pictures", place / "image.npy", place / "made.npz", *models)
            made[environment.name] = dict(np.load(place / "made.npz"))
        return made[environment.name]

    return get


@every_pair
def test_pictures_are_the_original_s_within_a_step(environment, contrib, pictures):
    """The child also checks what OpenCV's own tests of the module do: sizes, scale and algorithm, several outputs."""
    original, made = pictures(contrib), pictures(environment)
    wanted = {key for key in original if key.startswith("original/")}
    assert {key.partition("/")[2] for key in wanted} == {key[5:] for key in made if key.startswith("cvsr/")}
    steps = {key: largest(original[key], made[key.replace("original", "cvsr", 1)]) for key in wanted}
    print(f"{len(steps)} pictures, {sum(not step for step in steps.values())} of them without any difference")
    assert {key: step for key, step in steps.items() if step > 1} == {}


def largest(first: np.ndarray, second: np.ndarray) -> int:
    return int(np.abs(first.astype(int) - second).max()) if first.shape == second.shape else 256


@pytest.mark.parametrize("environment", CONTRIB, ids=[environment.name for environment in CONTRIB])
def test_the_engine_is_the_original_bit_for_bit(environment, pictures):
    made = pictures(environment)
    engine = [key for key in made if key.startswith("engine/")]
    assert len(engine) >= len(SMALL)
    assert [key for key in engine if not np.array_equal(made[key], made[key.replace("engine", "original", 1)])] == []


@every_pair
def test_networks_with_a_shuffle_compute_the_same_after_the_engine(environment, contrib, child, folder):
    found = child(environment, "shuffles", folder)
    if environment is contrib:
        assert found == {"engine": [True] * 2, "again": True, "shadowed": False}
    else:
        assert "opencv-contrib-python" in found["without"]


@pytest.mark.parametrize("environment", CONTRIB, ids=[environment.name for environment in CONTRIB])
def test_own_networks_are_right_beside_a_foreign_original(environment, child, folder):
    found = child(environment, "guard", folder)
    if not found["shadowed"]:  # before 4.11 OpenCV has no layer of that name to lie over
        assert environment in CONTRIB[:2] and found["imported"]
        return
    told, doctor = found.pop("warnings"), found.pop("doctor")
    assert all(found.values()), found
    assert len(told) == 1 and len(doctor) == 1
