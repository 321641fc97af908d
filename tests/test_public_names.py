"""What ``dir(cvsr)`` shows: the public names and nothing else, whatever has been imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cvsr

ROOT = Path(cvsr.__file__).parents[1]
MODULES = {"dask", "devices", "dnn_superres", "video"}


def shown(code: str) -> set[str]:
    """Return what ``dir(cvsr)`` shows in a new process after ``code``, without dunders."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import cvsr\n{code}\nprint(*dir(cvsr))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name for name in done.stdout.split() if not name.startswith("__")}


def test_dir_shows_the_public_names_only():
    assert shown("") == {*cvsr.__all__, *MODULES}
    imported = "import cvsr.upscaler, cvsr.cli.verbs, cvsr.modelfiles.zoo, cvsr.rasters.stacks; cvsr.devices.NAMES"
    assert shown(imported) == {*cvsr.__all__, *MODULES}


def test_every_public_name_can_be_used():
    for name in cvsr.__all__:
        assert getattr(cvsr, name).__module__.startswith("cvsr."), name
    assert "cpu" in cvsr.devices.NAMES and cvsr.dnn_superres.DnnSuperResImpl
