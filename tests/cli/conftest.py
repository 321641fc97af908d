"""A folder to work in, and the command line in this process."""

from __future__ import annotations

import pytest

from cvsr.cli import verbs


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


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
