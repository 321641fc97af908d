"""What is shipped, how it installs, and what the source tree may hold."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

# a child process that upscales a tiny image and says where cvsr came from and what it loaded
UPSCALE = """
import json, sys
import numpy as np
import cvsr
small = (np.arange(12 * 10 * 3) % 251).astype(np.uint8).reshape(12, 10, 3)
large = cvsr.upscale(small, 2)
assert large.shape == (24, 20, 3) and large.dtype == np.uint8, large.shape
print(json.dumps({"file": cvsr.__file__, "model": cvsr.Upscaler().info.name}))
"""
# a name of cvsr, not cvsr alone: the package defers its imports
LOADED = "import sys, numpy, cv2; old = set(sys.modules); from cvsr import upscale; print(*set(sys.modules) - old)"
# loaded by no part of `import cvsr`: heavy, or of use to the command line only
LAZY = {"argparse", "asyncio", "http", "multiprocessing", "onnx", "onnxruntime", "tensorflow", "keras", "unittest"}
FORBIDDEN_IN_TREE = re.compile(
    "(?<![\\w.:/])/(?:root|home|Users)/\\w|(?<![\\w.:/])/wor" + "k/|/tmp/bash_" + r"jobs|\.lib" + "rary/"
)


def source_files(root: Path) -> list[Path]:
    """The files that a commit would hold, relative to the root."""
    if not (root / ".git").exists():
        pytest.skip("not a git checkout: what belongs to the source tree is unknown")
    listed = subprocess.run(
        ["git", "ls-files", "-coz", "--exclude-standard"], cwd=root, capture_output=True, check=True
    )
    names = (Path(name) for name in listed.stdout.decode().split("\0") if name)
    return sorted(name for name in names if (root / name).is_file())


def clean_environment(**variables: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "CVSR"))}
    return kept | {"PYTHONUTF8": "1"} | variables


def run(*command: object, cwd: Path, **variables: str) -> str:
    words = [str(word) for word in command]
    done = subprocess.run(
        words, cwd=cwd, env=clean_environment(**variables), capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def dependency_folders() -> str:
    """Where this process's numpy, OpenCV and build tools lie, as a PYTHONPATH: to borrow them needs no network."""
    import cv2
    import hatchling
    import numpy

    return os.pathsep.join(dict.fromkeys(str(Path(m.__file__).parent.parent) for m in (numpy, cv2, hatchling)))


@pytest.fixture(scope="session")
def clean_copy(root, tmp_path_factory) -> Path:
    """A copy of what a commit would hold: no caches, no ignored files, no .git."""
    copy = tmp_path_factory.mktemp("copy") / "cvsr-source"
    for name in source_files(root):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / name, copy / name)
    return copy


@pytest.fixture(scope="session")
def built(clean_copy, tmp_path_factory) -> dict[str, Path]:
    """The wheel and the sdist, built without isolation: no network."""
    pytest.importorskip("build")
    pytest.importorskip("hatchling")
    target = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", target, clean_copy, cwd=target)
    (wheel,), (sdist,) = target.glob("*.whl"), target.glob("*.tar.gz")
    return {"wheel": wheel, "sdist": sdist}


@pytest.fixture(scope="session")
def wheel_names(built) -> list[str]:
    with zipfile.ZipFile(built["wheel"]) as archive:
        return archive.namelist()


def test_wheel_holds_two_packages(wheel_names):
    tops = {name.split("/")[0] for name in wheel_names}
    assert {name for name in tops if not name.endswith(".dist-info")} == {"cvsr", "cvsr_converters"}
    assert len(tops) == 3


def test_wheel_holds_the_pages(wheel_names, root):
    """What the pages need: templates, scripts, styles, the description of the interface."""
    data = {path.relative_to(root).as_posix() for path in (root / "cvsr").glob("*/assets/*")}
    assert len(data) >= 9 and data <= set(wheel_names)


def test_wheel_is_small(built):
    assert built["wheel"].stat().st_size < 8_000_000


def test_wheel_holds_every_model_of_the_index(built, wheel_names, root):
    index = json.loads((root / "models" / "index.json").read_text(encoding="utf-8"))
    assert index["models"]
    with zipfile.ZipFile(built["wheel"]) as archive:
        assert json.loads(archive.read("cvsr/models/index.json")) == index
        for model in index["models"]:
            data = archive.read(f"cvsr/models/{model['file']}")
            assert hashlib.sha256(data).hexdigest() == model["sha256"], model["name"]
            assert len(data) == model["bytes"], model["name"]


def test_wheel_holds_no_tests_and_no_rubbish(wheel_names):
    assert not [name for name in wheel_names if re.search(r"(^|/)tests?/|test_|__pycache__|\.pyc$|conftest", name)]
    assert [name for name in wheel_names if name.endswith("LICENSE")]
    assert "cvsr/py.typed" in wheel_names


def test_wheel_needs_numpy_alone_and_with_an_opencv_extra_that_opencv(built, wheel_names):
    (name,) = (name for name in wheel_names if name.endswith(".dist-info/METADATA"))
    with zipfile.ZipFile(built["wheel"]) as archive:
        lines = archive.read(name).decode().splitlines()
    needed: dict[str, list[str]] = {}
    for line in (line.removeprefix("Requires-Dist: ") for line in lines if line.startswith("Requires-Dist:")):
        extra = re.search(r"extra == ['\"](\w+)", line)
        needed.setdefault(extra[1] if extra else "", []).append(re.split(r"[ <>=~!;]", line)[0])
    assert needed[""] == ["numpy"]
    assert needed["headless"] == ["opencv-contrib-python-headless"] and needed["opencv"] == ["opencv-contrib-python"]
    assert {"opencv", "headless", "convert"} <= {
        line.split()[1] for line in lines if line.startswith("Provides-Extra:")
    }


def test_sdist_holds_what_its_own_build_and_tests_need(built):
    with tarfile.open(built["sdist"]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {"pyproject.toml", "README.md", "LICENSE", "cvsr/__init__.py", "models/index.json", "tests/conftest.py"}
    assert wanted <= names
    assert not [name for name in names if name.startswith((".git/", "runs/")) or "__pycache__" in name]


@pytest.mark.parametrize("kind", ["wheel", "sdist", "editable"])
def test_installed_it_upscales(kind, built, clean_copy, tmp_path):
    """Into an environment with no pip and no package index: the dependencies are borrowed from this one."""
    if kind == "editable":
        pytest.importorskip("editables", reason="hatchling needs it for an editable install without a network")
    venv = tmp_path / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", venv, cwd=tmp_path)
    python = venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    what = ["--editable", clean_copy] if kind == "editable" else [built[kind]]
    options = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--ignore-installed"]
    pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check", "install", *options]
    run(*pip, *what, cwd=tmp_path, PYTHONPATH=dependency_folders())
    purelib = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip())
    # after the install, and through a .pth file: the new environment's own packages come first
    (purelib / "borrowed.pth").write_text(dependency_folders().replace(os.pathsep, "\n"))

    said = json.loads(run(python, "-c", UPSCALE, cwd=tmp_path))
    home = clean_copy if kind == "editable" else purelib
    assert Path(said["file"]) == home / "cvsr" / "__init__.py"
    assert said["model"].startswith("cvsr-")
    program = venv / ("Scripts/cvsr.exe" if os.name == "nt" else "bin/cvsr")
    assert re.search(r"\d+\.\d+", run(program, "--version", cwd=tmp_path))
    if kind != "editable":
        assert (purelib / "cvsr_converters" / "__init__.py").is_file()


def test_uninstalled_it_upscales(clean_copy, tmp_path):
    said = json.loads(run(sys.executable, "-c", UPSCALE, cwd=tmp_path, PYTHONPATH=str(clean_copy)))
    assert Path(said["file"]) == clean_copy / "cvsr" / "__init__.py"
    assert said["model"].startswith("cvsr-")


def test_import_loads_nothing_heavy(root, tmp_path):
    loaded = run(sys.executable, "-c", LOADED, cwd=tmp_path, PYTHONPATH=str(root)).split()
    assert "cvsr" in loaded
    assert not LAZY & {name.partition(".")[0] for name in loaded}
    assert not [name for name in loaded if name.startswith("cvsr_converters")]


@pytest.mark.parametrize(("statement", "limit"), [("import cvsr", 0.15), ("from cvsr import upscale", 0.5)])
def test_import_is_quick(statement, limit, root, tmp_path):
    """Relative to the import of numpy and OpenCV, the least of several runs: machines differ, and may be busy."""
    code = (
        "import time; start = time.process_time(); import numpy, cv2; own = time.process_time(); "
        f"{statement}; print((time.process_time() - own) / (own - start))"
    )
    best = limit
    for _ in range(12):
        best = min(best, float(run(sys.executable, "-c", code, cwd=tmp_path, PYTHONPATH=str(root))))
        if best < limit:
            break
    assert best < limit


def python_files(root: Path, folder: str) -> list[Path]:
    files = sorted((root / folder).rglob("*.py"))
    assert files
    return files


def test_no_file_names_a_machine(root):
    bad = []
    for name in source_files(root):
        if name.suffix in {".png", ".jpg", ".onnx", ".pb"}:
            continue
        for number, line in enumerate((root / name).read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if FORBIDDEN_IN_TREE.search(line):
                bad.append(f"{name}:{number}: {line.strip()}")
    assert bad == []


def test_models_folder_is_data_only(root):
    """A .py there would break the editable install."""
    assert [path for path in (root / "models").rglob("*.py*") if "__pycache__" not in path.parts] == []


@pytest.mark.parametrize("name", ["models/x/x_x2.onnx", "models/x/x_x2.pb", "models/index.json", "models/x/README.md"])
def test_git_ignores_no_model(root, name):
    """hatchling leaves out what .gitignore names: the wheel would be empty, and say nothing."""
    source_files(root)  # skips where there is no git
    assert subprocess.run(["git", "check-ignore", "-q", "--no-index", name], cwd=root, check=False).returncode == 1


def test_only_one_module_imports_cv2(root):
    doors = set()
    for path in python_files(root, "cvsr"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            if any(name.partition(".")[0] == "cv2" for name in names):
                doors.add(path.name)
    assert doors == {"_cv2.py"}


def test_public_names_are_sorted_and_there():
    import cvsr

    def isort_style(name: str) -> tuple[int, str]:
        return (0 if name.isupper() else 1 if name[:1].isupper() else 2), name

    assert list(cvsr.__all__) == sorted(cvsr.__all__, key=isort_style)
    assert [name for name in cvsr.__all__ if not hasattr(cvsr, name)] == []
    assert {"Upscaler", "upscale"} <= set(cvsr.__all__)
    assert set(cvsr.__all__) <= set(dir(cvsr))


def test_every_public_definition_has_a_docstring(root):
    bare = []
    for path in python_files(root, "cvsr"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        scopes = [tree, *(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name[0] != "_")]
        for scope in scopes:
            for node in scope.body:
                is_definition = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
                if is_definition and node.name[0] != "_" and not ast.get_docstring(node):
                    bare.append(f"{path.name}: {node.name}")
    assert bare == []


@pytest.mark.conformance
def test_readme_first_command_in_an_empty_environment(clean_copy, tmp_path):
    """With the package index: what a new user types, with the extra that brings OpenCV."""
    venv = tmp_path / "venv"
    run(sys.executable, "-m", "venv", venv, cwd=tmp_path)
    scripts = venv / ("Scripts" if os.name == "nt" else "bin")
    run(scripts / "python", "-m", "pip", "install", "--quiet", f"{clean_copy}[headless]", cwd=tmp_path)
    said = json.loads(run(scripts / "python", "-c", UPSCALE, cwd=tmp_path))
    assert Path(said["file"]).is_relative_to(venv)
