"""``cvsr watch`` in this process: files that change or fail meanwhile, and folders that do not work together."""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import pytest
from kit.numbered import doubled, encoded

from cvsr.batch.inbox import File
from cvsr.cli import verbs, watch
from cvsr.cli.bar import Bar


@pytest.fixture
def service(inbox, out):
    parser = argparse.ArgumentParser()
    watch.add_arguments(parser)
    args = parser.parse_args([str(inbox), "-o", str(out), "-m", "nearest", "--settle", "0"])
    return watch.Service(args, Bar(io.StringIO()), [])


def test_a_file_that_changes_while_it_is_upscaled_is_upscaled_again(service, inbox, out, monkeypatch):
    (inbox / "a.png").write_bytes(encoded(1))
    bands = service._enlarger.upscaler.bands

    def meanwhile(*args, **keywords):
        yield from bands(*args, **keywords)
        (inbox / "a.png").write_bytes(encoded(2))

    monkeypatch.setattr(service._enlarger.upscaler, "bands", meanwhile)
    service.look()
    assert not list(out.iterdir()) and not service.failed
    monkeypatch.undo()
    service.look()
    assert doubled(out / "a_x2.png", 2)


def test_a_file_that_is_deleted_at_its_turn_is_forgotten(service, inbox, monkeypatch):
    (inbox / "a.png").write_bytes(encoded(1))
    monkeypatch.setattr(File, "changed", lambda file: not file.source.path.exists())
    monkeypatch.setattr(service, "_refuse", lambda job: job.source.unlink())
    service.look()
    service.look()
    assert (service.written, service.failed, service.inbox.files) == (0, 0, {})


def test_a_result_that_cannot_be_written_is_retried_and_reported_once(service, inbox, out):
    (inbox / "a.png").write_bytes(encoded(1))
    out.write_bytes(b"no folder")
    service.look()
    service.inbox.files[inbox / "a.png"].due = 0
    service.look()
    assert service._bar._stream.getvalue().count("cannot be written") == 1
    out.unlink()
    service.inbox.files[inbox / "a.png"].due = 0
    service.look()
    assert doubled(out / "a_x2.png", 1)


@pytest.mark.parametrize(
    ("argv", "hint"),
    [
        (["in", "-o", "in"], "name another folder"),
        (["in", "-o", "in/../in"], "name another folder"),
        (["in", "-o", ".", "-r"], "name another folder"),
        (["in", "-o", "file"], "is a file"),
        (["nix", "-o", "out"], "is not a folder"),
    ],
)
def test_folders_that_cannot_be_watched_are_refused(tmp_path, inbox, monkeypatch, capfd, argv, hint):
    monkeypatch.chdir(tmp_path)
    Path("file").write_bytes(b"")
    assert verbs.main(["watch", *argv, "--once"]) in (1, 2)
    assert hint in capfd.readouterr().err
