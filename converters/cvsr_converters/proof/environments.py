"""Other versions of OpenCV to verify in, each in its own virtual environment, which is created once and kept."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from cvsr.errors import OptionError

NUMPY1_UNTIL = (3, 12)  # numpy 1.26, the last 1.x, has wheels up to this Python


def folder():
    """Return the folder of the environments: ``opencv`` in ``CVSR_CACHE``, or in the user's cache."""
    cache = os.environ.get("CVSR_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cvsr"
    return Path(cache) / "opencv"


def python(version, say=lambda text: None):
    """Return the interpreter of an environment with this OpenCV; create it with pip if there is none yet.

    ``version``: of a wheel on PyPI, such as "4.8.1.78", or the path of a Python interpreter with OpenCV.
    ``say``: called with a line of text before a slow step. Raises OptionError with pip's message.
    """
    if Path(version).is_file():
        return str(version)
    if not re.fullmatch(r"\d+(\.\d+)+", version):
        raise OptionError(f"invalid OpenCV version {version!r}: use one from PyPI (4.8.1.78) or the path of a Python")
    place = folder() / "py{}.{}-{}".format(*sys.version_info[:2], version)
    if not (place / "made").is_file():
        say(f"installing OpenCV {version} into {place} (once)")
        _make(place, version)
    return str(scripts(place) / "python")


def scripts(place):
    """Return the folder of an environment's programs."""
    return place / ("Scripts" if os.name == "nt" else "bin")


def _make(place, version):
    numpy1 = tuple(map(int, version.split(".")[:2])) < (4, 10)  # built against numpy 1
    if numpy1 and sys.version_info[:2] > NUMPY1_UNTIL:
        here = "{}.{}".format(*sys.version_info[:2])
        raise OptionError(
            f"OpenCV {version} needs numpy 1, which has no wheel for Python {here}: omit this version, or pass "
            "the path of a Python that has it"
        )
    place.parent.mkdir(parents=True, exist_ok=True)
    # created under another name and renamed, so that an interrupted or second process finds all of it or nothing
    made = Path(tempfile.mkdtemp(dir=place.parent, prefix=f".{place.name}."))
    try:
        _run([sys.executable, "-m", "venv", "--without-pip", made])
        # contrib and headless: has everything, and needs no display
        wanted = [f"opencv-contrib-python-headless=={version}", *(["numpy<2"] if numpy1 else [])]
        pip = [sys.executable, "-m", "pip", "--python", scripts(made) / "python", "--disable-pip-version-check"]
        _run([*pip, "--quiet", "install", "--only-binary", ":all:", *wanted])
        (made / "made").write_text(" ".join(wanted) + "\n", encoding="utf-8")
        if not place.exists():
            made.rename(place)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _run(command):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PIP_TARGET", "PIP_PREFIX"))}
    words = [str(word) for word in command]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in (done.stderr or done.stdout).splitlines() if "WARNING" not in line]
        raise OptionError(f"cannot install OpenCV: {' '.join(lines[-3:])[:500] or f'exit code {done.returncode}'}")
