"""What users rely on: public names and arguments, verbs and options, exit codes. Changes go to CHANGELOG.md."""

from __future__ import annotations

import argparse
import inspect
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from kit.commands import ROOT, picture, save

import cvsr
from cvsr.cli import verbs

CALLS = {
    "upscale": "image scale=None size=None model='auto' device='auto' max_memory=None exact=False progress=None "
    "cancel=None",
    "upscale_file": "source target=None scale=2 size=None model='auto' device='auto' format=None quality=None "
    "max_memory=None exact=False effort='full' normalize=False overwrite=False progress=None cancel=None",
    "Upscaler": "model='auto' scale=None size=None device='auto' max_memory=None exact=False tile=None threads=None "
    "engine='auto' tuned=True effort='full'",
    "Upscaler.__call__": "self image max_memory=None progress=None cancel=None",
    "Upscaler.bands": "self image max_memory=None progress=None cancel=None",
    "Upscaler.output_size": "self width height",
    "Upscaler.warmup": "self",
    "Sequence": "upscaler",
    "Sequence.__call__": "self frame max_memory=None progress=None cancel=None",
    "Progress": "done total tile=None",
    "video.frames": "source upscaler",
}
ERRORS = {
    "CvsrError": "Exception",
    "ImageError": "CvsrError ValueError",
    "OptionError": "CvsrError ValueError",
    "ModelError": "CvsrError",
    "ModelNotFoundError": "ModelError",
    "DeviceError": "CvsrError",
    "MemoryBudgetError": "CvsrError MemoryError",
    "FileError": "CvsrError OSError",
    "OpenCVError": "CvsrError ImportError",
    "Cancelled": "CvsrError",
}
NAMES = {*ERRORS, "ModelInfo", "Progress", "RanOn", "Sequence", "Upscaler", "open_model", "upscale", "upscale_file"}
MODULES = {
    "dask": ["upscale"],
    "devices": ["Device", "NAMES", "Status", "probe", "resolve"],
    "dnn_superres": ["DeviceWarning", "DnnSuperResImpl", "DnnSuperResImpl_create"],
    "video": ["frames"],
}
_CONVERSION = "-s --scale --size -m --model -d --device --format --quality --normalize --max-memory --exact --effort"
VERBS = {
    "upscale": f"inputs -o --output {_CONVERSION} -r --recursive --overwrite --scheduler",
    "models": "--json",
    "doctor": "--json",
    "bench": "models -s --scale --size --against --python --what --threads --rounds --memory --exact --layers --json",
    "compare": "image -m --models -s --scale --reference -d --device -o --output --plot --overwrite",
    "eval": "models --data -s --scale --protocol -d --device --per-image --json",
    "frames": "width height -s --scale -m --model -d --device --effort",
    "migrate": "scripts --write",
    "serve": "--host --port --allow-host -m --model -d --device --max-size --max-pixels --max-memory --timeout --queue",
    "tune": "models -s --scale --seconds --exact --forget --json",
    "video": "input output -s --scale -m --model -d --device --codec --crf --start --end --preview --overwrite "
    "--resume --effort",
    "watch": f"folder -o --output -r --recursive --once --settle --poll {_CONVERSION}",
    "convert": "source -o --output --to --scale --color --range --mean --network --outputs --signature --feed --opencv "
    "--half --trust --timeout --max-memory --report",
}


def test_the_public_names_are_these():
    assert set(cvsr.__all__) == NAMES
    assert {name for name in dir(cvsr) if not name.startswith("__")} == NAMES | MODULES.keys()


@pytest.mark.parametrize("name", sorted({"devices", "dnn_superres", "video"}))
def test_the_public_modules_have_these_names(name):
    assert sorted(getattr(cvsr, name).__all__) == sorted(MODULES[name])


@pytest.mark.parametrize("name", ERRORS)
def test_errors_are_of_the_kinds_that_programs_catch(name):
    assert [base.__name__ for base in getattr(cvsr, name).__bases__] == ERRORS[name].split()


def arguments(call) -> str:
    """Return the arguments of a callable, with their defaults."""
    parameters = inspect.signature(call).parameters.values()
    return " ".join(p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in parameters)


@pytest.mark.parametrize("name", CALLS)
def test_calls_take_these_arguments(name):
    call = cvsr
    for part in name.split("."):
        call = getattr(call, part)
    assert arguments(call) == CALLS[name]


@pytest.mark.parametrize("name", ["upscale", "upscale_file", "Upscaler"])
def test_every_argument_is_documented(name):
    call = getattr(cvsr, name)
    for argument in inspect.signature(call).parameters:
        assert re.search(rf":param {argument}: \S", call.__doc__), argument
    assert ":raises OptionError" in call.__doc__ or ", OptionError" in call.__doc__


def test_an_upscaler_shows_what_it_is():
    assert repr(cvsr.Upscaler("cvsr-small", 3, device="cpu")) == "<cvsr.Upscaler cvsr-small_x3 scale=3 device=cpu>"
    assert repr(cvsr.Upscaler("bicubic", size=(9, 7))) == "<cvsr.Upscaler bicubic size=(9, 7) device=auto>"


def test_the_verbs_are_these():
    assert list(verbs.VERBS) == list(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_verbs_have_these_options(verb):
    module = verbs._module(verb, {}) if verb != "convert" else pytest.importorskip("cvsr_converters.cli")
    parser = argparse.ArgumentParser(add_help=False)
    module.add_arguments(parser)
    found = [name for action in parser._actions for name in action.option_strings or [action.dest]]
    assert sorted(found) == sorted(VERBS[verb].split())


USES = [  # arguments, exit code
    (["--version"], 0),
    (["--help"], 0),
    ([], 2),
    (["nonsense"], 2),
    (["upscale", "--help"], 0),
    (["upscale", "a.png", "-m", "nearest"], 0),
    (["upscale", "missing.png", "-m", "nearest"], 1),
    (["upscale", "broken.png", "-m", "nearest"], 1),
    (["upscale", "empty", "-m", "nearest"], 1),
    (["upscale", "a.png", "-s", "0"], 2),
    (["upscale", "a.png", "-m", "nosuch"], 2),
    (["upscale", "a.png", "-d", "nosuch"], 2),
    (["upscale", "a.png", "--quality", "0"], 2),
    (["models"], 0),
    (["models", "--json"], 0),
    (["compare"], 2),
    (["compare", "missing.png"], 1),
    (["eval", "bicubic", "--data", "missing"], 1),
    (["eval", "bicubic"], 2),
    (["frames", "0", "9"], 2),
    (["migrate", "script.py"], 1),
    (["migrate", "missing.py"], 2),
    (["serve", "--port", "99999"], 2),
    (["tune", "bicubic"], 2),
    (["bench", "cvsr-small", "--against", "nosuch"], 2),
    (["video", "a.png", "a.png"], 2),
    (["watch", "missing", "-o", "out", "--once"], 1),
    (["watch", "empty", "-o", "empty", "--once"], 2),
    (["watch", "empty", "-o", "out", "--once", "-m", "nearest"], 0),
]


@pytest.fixture
def logs():
    """Put back what ``cvsr serve`` changes for its process: it replaces the warnings of the others' logs."""
    logger, handlers = logging.getLogger("cvsr"), logging.root.handlers[:]
    yield
    logger.setLevel(logging.NOTSET)
    logging.root.handlers[:] = handlers


@pytest.mark.usefixtures("logs")
@pytest.mark.parametrize(("argv", "code"), USES, ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_exit_codes(argv, code, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    save("a.png", picture())
    Path("broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    Path("empty").mkdir()
    Path("script.py").write_text("import cv2\nsr = cv2.dnn_superres.DnnSuperResImpl_create()\n")
    try:
        found = verbs.main(argv)
    except SystemExit as stop:  # argparse
        found = stop.code
    said = capfd.readouterr()
    assert found == code, said.err
    assert "Traceback" not in said.err
    if code > 1:
        assert said.err.strip(), "it says why"


def test_a_missing_opencv_is_exit_code_3_and_help_works_without_it(tmp_path):
    (tmp_path / "cv2.py").write_text("raise ImportError('libGL.so.1')")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    for argv, code in ((["upscale", "a.png"], 3), (["doctor"], 3), (["models"], 3), (["upscale", "--help"], 0)):
        command = [sys.executable, "-m", "cvsr", *argv]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
