"""A folder to work in, folders for `cvsr watch`, and the command line in this process."""

from __future__ import annotations

from pathlib import Path

import pytest

from cvsr.cli import verbs


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def inbox(tmp_path) -> Path:
    """The folder that ``cvsr watch`` watches."""
    folder = tmp_path / "in"
    folder.mkdir()
    return folder


@pytest.fixture
def out(tmp_path) -> Path:
    """The folder of its results, which does not exist yet."""
    return tmp_path / "out"


@pytest.fixture
def run(capfd):
    """Run the command line in this process: (exit code, standard output, standard error)."""

    def run(*argv: str, model: str | None = "nearest"):
        if argv[0] == "upscale" and model:
            argv = (*argv, "-m", model)
        try:
            code = verbs.main(argv)
        except SystemExit as stop:  # argparse
            code = stop.code
        return (code, *capfd.readouterr())

    return run
