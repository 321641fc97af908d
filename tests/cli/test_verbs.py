"""The table of verbs: each is a module of one form, and other packages add theirs by an entry point."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest
from kit import onnxlite
from kit.commands import ROOT

from cvsr.cli import verbs

MODULE = """
DESCRIPTION = "Says hello."
EPILOG = "example: cvsr hello you"


def add_arguments(parser):
    parser.add_argument("name", help="whom to greet")


def main(args):
    from cvsr.errors import DeviceError

    if args.name == "nobody":
        raise DeviceError("there is nobody")
    print("hello", args.name)
    return 7
"""


@pytest.mark.parametrize("verb", sorted(set(verbs.VERBS) - {"convert"}))
def test_every_verb_is_a_module_of_one_form(verb):
    module = verbs._module(verb, {})
    assert module.DESCRIPTION.strip().endswith(".") and isinstance(module.EPILOG, str)
    assert callable(module.add_arguments) and callable(module.main)


@pytest.fixture
def cvsr(tmp_path):
    """The command line where a package ``greetings`` is installed that has the verb ``hello``."""
    facts = tmp_path / "greetings-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: greetings\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[cvsr.verbs]\nhello = greetings\nupscale = greetings\n")
    (tmp_path / "greetings.py").write_text(MODULE)
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}

    def run(*argv: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "cvsr", *argv]
        return subprocess.run(command, capture_output=True, text=True, env=environment)

    return run


def test_a_verb_of_another_package_is_registered_in_one_place(cvsr):
    done = cvsr("hello", "you")
    assert (done.returncode, done.stdout, done.stderr) == (7, "hello you\n", "")
    told = cvsr("hello", "--help").stdout
    assert "Says hello." in told and "whom to greet" in told and "example: cvsr hello you" in told
    assert cvsr("hello").returncode == 2


def test_its_errors_are_those_of_the_command_line(cvsr):
    done = cvsr("hello", "nobody")
    assert (done.returncode, done.stderr) == (3, "cvsr: there is nobody\n")


def test_help_lists_it_beside_the_others(cvsr):
    lines = cvsr("--help").stdout.splitlines()
    assert any(line.split() == ["hello", "(from", "greetings)"] for line in lines)
    for verb, summary in verbs.VERBS.items():
        assert any(line.strip().startswith(verb) for line in lines), (verb, summary)


def test_it_cannot_replace_a_verb_of_cvsr(cvsr):
    assert "whom to greet" not in cvsr("upscale", "--help").stdout


@pytest.mark.skipif(importlib.util.find_spec("onnx") is not None, reason="what conversion needs is installed here")
def test_convert_says_what_it_needs_and_how_to_get_it(tmp_path, capsys):
    source, out = tmp_path / "random_x2.onnx", tmp_path / "out_x2.onnx"
    source.write_bytes(onnxlite.conv_chain(4, 1, 2, 0))
    assert verbs.main(["convert", str(source), "-o", str(out)]) == 2
    assert 'pip install ".[convert]"' in capsys.readouterr().err
    assert not out.exists()


def test_convert_without_its_package_says_so(monkeypatch, capsys):
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **_: [])
    assert verbs.main(["convert", "a", "-o", "b"]) == 2
    assert 'pip install ".[convert]"' in capsys.readouterr().err
