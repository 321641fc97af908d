"""One wheel, every OpenCV: the same pictures, whole or in tiles, and a command line that works.

Every model runs in each version and engine, and every kind of image in each environment, by the models that stand for
the others. With CVSR_LONG set (``nox -s long``) every model upscales every kind in each environment.

The environments stay in a cache folder (see `venvs.cache_folder`); the wheel is built from the checkout in each run.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from kit.onnxlite import conv_chain
from kit.venvs import (
    ENVIRONMENTS,
    REFERENCE,
    Environment,
    Unavailable,
    cache_folder,
    child_variables,
    locked,
    pip_install,
    prepare,
    run,
    scripts,
)

pytestmark = pytest.mark.conformance

CHILD = Path(__file__).with_name("child.py")
# What two versions may differ by, in the steps of each kind: one of 8 bits; 1e-4 of the range where there are more
TOLERANCE = {"uint8": 1.0, "uint16": 6.6, "float32": 1e-4}
# What tiles may change where the fast way is taken: Winograd's 1e-5 of the range, and a rounding before and after color
TILE_TOLERANCE = {"uint8": 1.0, "uint16": 2.0, "float32": 1e-5}

EACH_VERSION = [each for each in ENVIRONMENTS if each.name.startswith("contrib-headless") or each.name == "system"]
every_opencv = pytest.mark.parametrize("environment", ENVIRONMENTS, ids=lambda environment: environment.name)


@dataclass(frozen=True)
class Outcome:
    """What the child said and saved in one environment."""

    folder: Path
    variables: dict[str, str]
    facts: dict
    arrays: dict[str, np.ndarray]

    def command(self, *arguments: object) -> str:
        """Run ``cvsr`` there and return its standard output."""
        return run([scripts(self.folder) / "cvsr", *arguments], env=self.variables).stdout


@pytest.fixture(scope="session")
def wheel(root, tmp_path_factory) -> Path:
    """The checkout's wheel."""
    target = tmp_path_factory.mktemp("wheel")
    run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", target, root])
    (path,) = target.glob("*.whl")
    return path


@pytest.fixture(scope="session")
def inputs(photo, tmp_path_factory) -> tuple[Path, list[Path]]:
    """A small photo as every kind of image, and two untrained networks so that no bundled model is needed."""
    folder = tmp_path_factory.mktemp("inputs")
    bgr = photo("astronaut")[40:131, 180:307]  # odd sizes on purpose
    alpha = np.tile(np.linspace(0, 255, bgr.shape[1]).astype(np.uint8), (bgr.shape[0], 1))
    kinds = {
        "gray": photo("camera")[60:151, 170:277],
        "bgr": bgr,
        "bgra": np.dstack([bgr, alpha]),
        "uint16": bgr.astype(np.uint16) * 257,
        "float32": bgr.astype(np.float32) / 255,
    }
    np.savez(folder / "kinds.npz", **kinds)
    files = []
    for scale in (2, 4):  # the x4 one is asked for x2: the way through a larger model and down again
        files.append(folder / f"random_x{scale}.onnx")
        files[-1].write_bytes(conv_chain(channels=12, blocks=2, scale=scale, seed=scale, name=files[-1].stem))
    return folder / "kinds.npz", files


@pytest.fixture(scope="session")
def ran(wheel, inputs, tmp_path_factory) -> Iterator[Callable[[Environment], Outcome]]:
    """Give the outcome of an environment, from its first use on; skip where it cannot exist here."""
    outcomes: dict[str, Outcome | Exception] = {}

    def get(environment: Environment) -> Outcome:
        if environment.name not in outcomes:
            try:
                target = tmp_path_factory.mktemp(environment.name.replace(".", "_")) / "results.npz"
                outcomes[environment.name] = _upscale(environment, wheel, inputs, target)
            except (Unavailable, AssertionError) as reason:  # kept: another try would cost as much and say the same
                outcomes[environment.name] = reason
        outcome = outcomes[environment.name]
        if isinstance(outcome, Unavailable):
            pytest.skip(str(outcome))
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    with locked(cache_folder() / "wheel"):
        yield get


def _upscale(environment: Environment, wheel: Path, inputs: tuple[Path, list[Path]], target: Path) -> Outcome:
    with locked(cache_folder()):
        folder = prepare(environment)
    # --no-deps: on a system's OpenCV, and beside a CUDA build, nothing else may be installed
    pip_install(folder, "--no-deps", "--no-index", "--force-reinstall", wheel)
    variables = child_variables(environment.variables)
    source, files = inputs
    # other wheels of a version have the same dnn
    scope = "long" if os.environ.get("CVSR_LONG") else "models" if environment in EACH_VERSION else "kinds"
    child = [scripts(folder) / "python", CHILD, scope, source, target, *files]
    done = run(child, env=variables, cwd=str(target.parent))
    facts = json.loads(done.stdout.splitlines()[-1])
    print(f"{environment.name}: OpenCV {facts['opencv']}, {len(facts['models'])} models")
    return Outcome(folder, variables, facts, dict(np.load(target)))


def largest_difference(first: np.ndarray, second: np.ndarray) -> float:
    assert first.shape == second.shape
    assert first.dtype == second.dtype
    return float(np.abs(first.astype(np.float64) - second.astype(np.float64)).max())


@every_opencv
def test_runs_the_version_it_says(environment, ran):
    wanted = [name.split("==")[1].rpartition(".")[0] for name in environment.requirements if "opencv" in name]
    assert not wanted or ran(environment).facts["opencv"] == wanted[0]


@every_opencv
def test_gives_the_same_picture_as_the_reference(environment, ran):
    outcome, reference = ran(environment), ran(REFERENCE)
    models = set(outcome.facts["models"])
    assert len(models) >= 6 and outcome.arrays.keys() == {n for n in reference.arrays if n.partition("/")[0] in models}
    differences = {name: largest_difference(a, reference.arrays[name]) for name, a in outcome.arrays.items()}
    worst = {name: d for name, d in differences.items() if d > TOLERANCE[str(outcome.arrays[name].dtype)]}
    assert not worst


def test_all_8_bit_pictures_lie_within_one_step(ran):
    """The reference is within a step of each; this is each within a step of each."""
    lowest: dict[str, np.ndarray] = {}
    highest: dict[str, np.ndarray] = {}
    for environment in ENVIRONMENTS:
        try:
            arrays = ran(environment).arrays
        except pytest.skip.Exception:
            continue
        for name, array in arrays.items():
            if array.dtype == np.uint8:
                lowest[name] = np.minimum(lowest.get(name, array), array)
                highest[name] = np.maximum(highest.get(name, array), array)
    assert lowest
    worst = {name: largest_difference(highest[name], low) for name, low in lowest.items()}
    assert {name: d for name, d in worst.items() if d > 1} == {}


@every_opencv
def test_tiled_equals_whole(environment, ran):
    outcome = ran(environment)
    for name, whole in outcome.arrays.items():
        if name.endswith("exact-whole"):
            tiled = outcome.arrays[name.replace("whole", "tiled")]
            assert np.array_equal(tiled, whole), name
        elif name.endswith("fast-whole"):
            tiled = outcome.arrays[name.replace("whole", "tiled")]
            assert largest_difference(tiled, whole) <= TILE_TOLERANCE[str(whole.dtype)], name


@every_opencv
def test_tiles_were_really_made(environment, ran):
    tiles = ran(environment).facts["tiles"]
    networks = [name for name in tiles if name.endswith("tiled") and not name.startswith("lanczos")]
    assert networks
    assert [name for name in networks if tiles[name] < 4 * tiles[name.replace("tiled", "whole")]] == []


@pytest.mark.parametrize("environment", EACH_VERSION, ids=lambda environment: environment.name)
def test_no_plan_of_tune_changes_the_picture(environment, ran, photo, tmp_path):
    """Bit for bit with exact=True, and as any other tiles without it."""
    outcome = ran(environment)
    np.save(tmp_path / "photo.npy", photo("astronaut")[:301, :333])
    variables = outcome.variables | {"CVSR_CACHE": str(tmp_path)}
    child = [scripts(outcome.folder) / "python", CHILD.with_name("plans_child.py"), tmp_path / "photo.npy"]
    said = json.loads(run(child, env=variables, cwd=str(tmp_path)).stdout.splitlines()[-1])
    assert len(said["differences"]) == 2 * 2 * 7 * len({1, said["threads"]})
    for name, worst in said["differences"].items():
        _, way, tile, workers, plan = name.split("/")
        assert plan == f"tiles of {tile} pixels, {workers} at a time, as measured on this machine"
        assert worst <= (0 if way == "exact" else TOLERANCE["uint8"]), name


@every_opencv
def test_doctor(environment, ran):
    outcome = ran(environment)
    report = json.loads(outcome.command("doctor", "--json"))
    assert outcome.facts["opencv"] in json.dumps(report)


@every_opencv
def test_command_line(environment, ran, photo, tmp_path):
    from cvsr._cv2 import cv2

    outcome = ran(environment)
    image = photo("chelsea")[:60, :81]
    source, target = tmp_path / "ein Foto ü.png", tmp_path / "out.png"
    source.write_bytes(cv2.imencode(".png", image)[1].tobytes())
    outcome.command("upscale", source, "-o", target, "-s", "2", "-d", "cpu")
    result = cv2.imdecode(np.frombuffer(target.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    assert result.shape == (120, 162, 3)
    # an upscaled photo, shrunk again, is about the photo: right colors (swapped ones differ by 40), right way up
    assert np.abs(cv2.resize(result, (81, 60), interpolation=cv2.INTER_AREA).astype(int) - image).mean() < 6
