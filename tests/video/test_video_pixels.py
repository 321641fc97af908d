"""The pixels of films: those of single images, in every codec and depth; frames for scripts; threads."""

from __future__ import annotations

import io
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("av", reason="films need PyAV: pip install '.[video]'")
import av
from kit import films

import cvsr
from cvsr.video import encoder, film, frames, read_ahead, reader
from cvsr.video.source import enlarger


@pytest.fixture
def run(tmp_path):
    return films.runner(tmp_path)


def nothing(*_: object) -> None:
    """Listen to progress and notes."""


class TestPixels:
    def test_frames_equal_images_upscaled_one_by_one(self, tmp_path):
        source = films.make(tmp_path / "in.mp4", 5)
        upscaler = cvsr.Upscaler("cvsr-small", 2)
        singles = [upscaler(shot.image) for shot in reader.Reader(source).frames()]
        made = []

        def watched(image):
            made.append(upscaler(image))
            return made[-1]

        film.convert(film.Task(source, tmp_path / "out.mp4"), upscaler, watched, progress=nothing, note=nothing)
        for given in (made, list(frames(source, upscaler))):
            assert len(given) == len(singles)
            assert all(np.array_equal(a, b) for a, b in zip(given, singles, strict=True))

    @pytest.mark.parametrize("codec", ["libx264", "libx265", "libsvtav1", "libvpx-vp9", "ffv1", "mpeg4"])
    def test_every_codec_gives_the_picture_back(self, tmp_path, run, codec):
        source = films.make(tmp_path / "in.mp4", 10)
        result = run(source, "--codec", codec, to="out.mkv")
        wanted = list(frames(source, cvsr.Upscaler("bilinear", 2)))
        found = [shot.image for shot in reader.Reader(result).frames()]
        assert len(found) == len(wanted)
        for a, b in zip(found, wanted, strict=True):
            assert np.abs(a.astype(int) - b).mean() < 4

    @pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="schedulers of Linux")
    def test_no_encoder_takes_the_machine_for_itself(self, tmp_path):
        """SVT-AV1 asks for real-time scheduling, which root gets: nothing else would run on a small machine."""
        source = films.make(tmp_path / "in.mp4", 10)
        during = set()
        source_film = reader.Reader(source)
        options = {"codec": "libsvtav1", "crf": None, "note": nothing}
        settings = encoder.settings_for(tmp_path / "out.mkv", source_film.facts, (128, 96), **options)
        writer = encoder.PartWriter(io.BytesIO(), settings)
        for shot in source_film.frames():
            writer.write(replace(shot, image=np.zeros((96, 128, 3), np.uint8)))
            during |= {os.sched_getscheduler(int(thread.name)) for thread in Path("/proc/self/task").iterdir()}
        writer.close()
        assert during == {os.SCHED_OTHER}

    def test_ten_bits_stay_ten(self, tmp_path, run, capsys):
        ramp = np.tile(np.linspace(0, 65535, 256).astype(np.uint16)[None, :, None], (64, 1, 3))
        make = {"codec": "libx265", "pix_fmt": "yuv420p10le", "options": {"crf": "4", "x265-params": "log-level=none"}}
        source = films.make(tmp_path / "in.mp4", 3, size=(256, 64), images=[ramp] * 3, **make)
        result = run(source, "--crf", "4")
        luma = next(films.planes(result))[:128]
        assert luma.dtype == np.uint16
        assert len(np.unique(luma)) > 300  # 8 bits have 220 levels
        assert "10 bits per channel are enlarged in 16 and written in 10" in capsys.readouterr().err
        run(source, "--codec", "libvpx-vp9", to="eight.webm")
        assert "10 bits per channel become 8" in capsys.readouterr().err

    @pytest.mark.parametrize("pix_fmt", ["yuv422p", "yuv444p"])
    def test_chroma_stays_as_fine(self, tmp_path, run, pix_fmt):
        result = run(films.make(tmp_path / "in.mp4", 3, pix_fmt=pix_fmt))
        with av.open(str(result)) as container:
            assert container.streams.video[0].codec_context.pix_fmt == pix_fmt

    def test_sizes_that_change_are_brought_to_the_first(self, tmp_path, run):
        small, big = (films.make(tmp_path / f"{w}.ts", 10, size=(w, w)) for w in (64, 96))
        (tmp_path / "in.ts").write_bytes(small.read_bytes() + big.read_bytes())
        result = run(tmp_path / "in.ts")
        assert {plane.shape for plane in films.planes(result)} == {(256, 128)}

    def test_odd_sizes(self, tmp_path, run, capsys):
        source = films.make(tmp_path / "in.mp4", 3, size=(50, 34))
        result = run(source, "-s", "1.5")
        assert next(films.planes(result)).shape == (50 * 2, 74)
        assert "cropped to" in capsys.readouterr().err


@films.TURNS
@pytest.mark.parametrize("rotation", [0, 90, 180, -90])
def test_frames_for_scripts_are_upright(tmp_path, rotation):
    flag = np.zeros((48, 64, 3), np.uint8)
    flag[:24, :32] = 255  # top left
    source = films.make(tmp_path / "in.mp4", 2, images=[flag] * 2, rotation=rotation)
    image = next(frames(source, cvsr.Upscaler("nearest", 1)))
    wanted = np.rot90(flag, rotation // 90)  # FFmpeg counts against the clock
    assert image.shape == wanted.shape
    assert np.abs(image.astype(int) - wanted).mean() < 8


class TestThreads:
    def test_errors_of_either_side_arrive(self):
        def broken():
            yield 1
            raise ValueError("source")

        with pytest.raises(ValueError, match="source"):
            list(read_ahead.ahead(broken()))

        def consume(items):
            next(items)
            raise ValueError("sink")

        with pytest.raises(ValueError, match="sink"), read_ahead.Sink(consume) as sink:
            for number in range(100):
                sink.put(number)

    def test_no_more_than_the_depth_is_read_ahead(self):
        seen = []
        items = read_ahead.ahead((seen.append(i) or i for i in range(100)), depth=2)
        for number in range(20):
            assert next(items) == number
            assert len(seen) <= number + 1 + 2 + 1
        items.close()
        assert len(seen) < 30


def test_a_step_is_made_of_an_upscaler():
    image = films.picture(0)
    upscaler = cvsr.Upscaler("bilinear", 2)
    assert np.array_equal(enlarger(upscaler)(image), upscaler(image))
