"""The OpenCVs that cvsr must run on, each in a virtual environment that is made once and kept between runs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cvsr_converters.proof.environments import NUMPY1_UNTIL, scripts

SYSTEM_PYTHON = Path("/usr/bin/python3")


class Unavailable(Exception):
    """This environment cannot exist on this machine, and why."""


@dataclass(frozen=True)
class Environment:
    """One OpenCV: what pip installs (nothing: the system's own package) and the variables it runs with."""

    name: str
    requirements: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def folder_name(self) -> str:
        """Environments that differ in variables only share a folder."""
        python = "{}.{}".format(*sys.version_info) if self.requirements else "system"
        return "-".join([f"py{python}", *self.requirements]).replace("==", "-").replace("<", "below")


def _pypi(name: str, package: str, *more: str, **variables: str) -> Environment:
    return Environment(name, (package, *more), variables)


ENVIRONMENTS = (
    _pypi("contrib-headless-4.14", "opencv-contrib-python-headless==4.14.0.94"),
    _pypi("contrib-headless-4.8", "opencv-contrib-python-headless==4.8.1.78", "numpy<2"),
    _pypi("contrib-headless-4.10", "opencv-contrib-python-headless==4.10.0.84"),
    _pypi("contrib-headless-5.0", "opencv-contrib-python-headless==5.0.0.93"),
    _pypi("contrib-headless-5.0-new", "opencv-contrib-python-headless==5.0.0.93", OPENCV_FORCE_DNN_ENGINE="2"),
    _pypi("contrib-headless-5.0-classic", "opencv-contrib-python-headless==5.0.0.93", OPENCV_FORCE_DNN_ENGINE="1"),
    _pypi("headless-4.14", "opencv-python-headless==4.14.0.94"),
    _pypi("headless-5.0", "opencv-python-headless==5.0.0.93"),
    _pypi("contrib-4.14", "opencv-contrib-python==4.14.0.94"),
    _pypi("contrib-5.0", "opencv-contrib-python==5.0.0.93"),
    _pypi("plain-4.14", "opencv-python==4.14.0.94"),
    _pypi("plain-5.0", "opencv-python==5.0.0.93"),
    Environment("system"),
)
REFERENCE = ENVIRONMENTS[0]


def cache_folder() -> Path:
    """Where the environments stay: ``CVSR_VENVS``, or a folder in the user's cache."""
    return Path(os.environ.get("CVSR_VENVS") or Path.home() / ".cache" / "cvsr-tests" / "venvs")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let one process at a time into the folder (where the system has flock)."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            import fcntl
        except ImportError:
            pass
        else:
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def child_variables(extra: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without what would reach into another Python, OpenCV or cvsr."""
    prefixes = ("PYTHON", "OPENCV", "CVSR", "VIRTUAL_ENV", "PIP_TARGET", "PIP_PREFIX", "PIP_USER")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(prefixes)}
    return kept | {"PYTHONNOUSERSITE": "1", "PYTHONUTF8": "1"} | dict(extra)


def run(command: list[object], **options: object) -> subprocess.CompletedProcess[str]:
    """Run a command to its end and show its output if it fails."""
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, encoding="utf-8", timeout=3600, check=False, **options)  # type: ignore[call-overload]
    if done.returncode:
        raise AssertionError(f"{' '.join(words)}\nexit code {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def pip_install(folder: Path, *arguments: object) -> None:
    """Install into a virtual environment with this process's pip, so that none needs a pip of its own."""
    python = scripts(folder) / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check", "--quiet", "install"]
    run([*pip, *arguments], env=child_variables({}))


def prepare(environment: Environment) -> Path:
    """Return the folder of the environment, made now or by an earlier run; raise `Unavailable` with the reason."""
    folder = cache_folder() / environment.folder_name
    stamp = folder / "made.json"
    wanted = {"requirements": list(environment.requirements), "python": sys.version if environment.requirements else ""}
    if not (stamp.is_file() and json.loads(stamp.read_text()) == wanted):
        shutil.rmtree(folder, ignore_errors=True)
        _make(environment, folder)
        stamp.write_text(json.dumps(wanted))
    check = [scripts(folder) / "python", "-c", "import cv2, cv2.dnn"]
    imported = subprocess.run(check, env=child_variables({}), capture_output=True, encoding="utf-8", check=False)
    if imported.returncode:
        reason = imported.stderr.strip().splitlines()[-1]
        # a desktop wheel on a server: no fault of the environment or of cvsr
        if "shared object file" in reason and not any("headless" in name for name in environment.requirements):
            raise Unavailable(f"OpenCV's desktop wheel does not load here: {reason}")
        raise AssertionError(f"{environment.name}: import cv2 fails: {imported.stderr}")
    return folder


def _make(environment: Environment, folder: Path) -> None:
    if not environment.requirements:
        _check_system_python()
        run([SYSTEM_PYTHON, "-m", "venv", "--without-pip", "--system-site-packages", folder], env=child_variables({}))
        return
    if "numpy<2" in environment.requirements and sys.version_info[:2] > NUMPY1_UNTIL:
        raise Unavailable(f"numpy 1.x has no wheel for Python {sys.version_info[0]}.{sys.version_info[1]}")
    run([sys.executable, "-m", "venv", "--without-pip", folder])
    pip_install(folder, "--only-binary", ":all:", *environment.requirements)


def _check_system_python() -> None:
    if not SYSTEM_PYTHON.exists():
        raise Unavailable(f"there is no {SYSTEM_PYTHON}")
    probe = [str(SYSTEM_PYTHON), "-c", "import cv2, sys; print(sys.version_info >= (3, 10))"]
    done = subprocess.run(probe, env=child_variables({}), capture_output=True, encoding="utf-8", check=False)
    if done.returncode:
        raise Unavailable(f"{SYSTEM_PYTHON} has no OpenCV (Debian: apt install python3-opencv)")
    if done.stdout.strip() != "True":
        raise Unavailable(f"{SYSTEM_PYTHON} is older than Python 3.10")
