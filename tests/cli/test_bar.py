"""The progress bar."""

from __future__ import annotations

import io
import sys

import pytest
from kit.commands import save

from cvsr.cli import bar as progress
from cvsr.inference.stages import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


class TestBar:
    @pytest.fixture(autouse=True)
    def width(self, monkeypatch):
        monkeypatch.setenv("COLUMNS", "60")
        monkeypatch.setenv("TERM", "xterm")

    def test_it_is_silent_without_a_terminal(self):
        stream = io.StringIO()
        bar = progress.Bar(stream)
        bar.start("a")
        bar.progress(Progress(1, 2))
        bar.done()
        assert stream.getvalue() == ""

    def test_it_draws_and_goes(self):
        stream, now = Terminal(), iter([0, 0, 2, 4, 4.01, 4.02]).__next__
        bar = progress.Bar(stream, clock=now)
        bar.start("a.png")
        bar.progress(Progress(1, 4))
        bar.progress(Progress(2, 4))
        shown = stream.getvalue().split("\r")[-1]
        assert shown == "a.png [############------------]  50% 0:04 left\x1b[K"
        bar.progress(Progress(3, 4))  # too soon after
        assert stream.getvalue().endswith(shown)
        bar.progress(Progress(4, 4))  # the end is always shown
        assert "100%" in stream.getvalue().split("\r")[-1]
        bar.say("hello")
        assert stream.getvalue().endswith("\r\x1b[Khello\n")

    @pytest.mark.parametrize("label", ["long name " * 20, "長い名前" * 20, "tab\t\x1b[31mred\n" * 9])
    def test_it_never_breaks_the_line(self, label):
        stream = Terminal()
        bar = progress.Bar(stream)
        bar.start(label)
        line = stream.getvalue().removeprefix("\r").removesuffix("\x1b[K")
        assert progress.width(line) < 60
        assert line.isprintable()

    def test_it_is_seen_on_a_terminal(self, run, monkeypatch):
        shown = Terminal()
        monkeypatch.setattr(sys, "stderr", shown)
        save("a.png")
        run("upscale", "a.png")
        assert "a.png [" in shown.getvalue()
        assert shown.getvalue().endswith("\r\x1b[Kcvsr: 1 written, 0 skipped, 0 failed\n")
