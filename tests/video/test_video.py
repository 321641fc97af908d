"""Films: everything but the pixels stays what it was; what cannot be done is said before the work."""

from __future__ import annotations

import itertools
from fractions import Fraction

import pytest

pytest.importorskip("av", reason="films need PyAV: pip install '.[video]'")
import av
from kit import films

from cvsr.cli import verbs
from cvsr.errors import FileError, OptionError
from cvsr.video import mux, parts, reader


@pytest.fixture
def run(tmp_path):
    return films.runner(tmp_path)


class TestWhatStays:
    def test_sound_duration_and_the_number_of_frames(self, tmp_path, run):
        source = films.make(tmp_path / "in.mp4", 150, sound=True)  # more than one part
        result = run(source)
        assert films.packets(result) == films.packets(source)
        assert films.times(result) == films.times(source)
        assert films.seconds(result) == films.seconds(source)
        assert next(films.planes(result)).shape == (96 * 2, 128)
        assert not parts.Parts(result).folder.exists()

    @pytest.mark.parametrize("base", [Fraction(1, 90000), Fraction(1, 15360), Fraction(1001, 30000)])
    def test_variable_times(self, tmp_path, run, base):
        steps = (1, 3, 2, 5) if base.numerator > 1 else (1000, 3003, 501)
        source = films.make(tmp_path / "in.mp4", 130, steps=steps, time_base=base)
        times = films.times(run(source))
        assert times == films.times(source)
        assert len({b - a for a, b in itertools.pairwise(times)}) == len(steps)

    def test_times_that_a_file_does_not_state(self, tmp_path, run):
        source = films.make(tmp_path / "in.avi", 60, time_base=Fraction(1, 30), steps=(1,))  # those of decoding only
        times = films.times(run(source))
        assert len(times) == 60
        assert {b - a for a, b in itertools.pairwise(times)} == {Fraction(1, 30)}

    def test_a_clock_that_does_not_begin_at_zero(self, tmp_path, run):
        source = films.make(tmp_path / "in.ts", 60, sound=True)
        result = run(source)
        before, after = ((films.times(path)[0], films.packets(path)[0][0]) for path in (source, result))
        assert min(before) > 0.01 > min(after)
        assert abs((after[0] - after[1]) - (before[0] - before[1])) < 0.002

    @pytest.mark.parametrize("colors", [(1, 1, 1, 1), (5, 1, 5, 6), (6, 2, 6, 6), (9, 1, 9, 16)])
    def test_color_tags(self, tmp_path, run, colors):
        source = films.make(tmp_path / "in.mp4", 3, colors=colors)
        with av.open(str(run(source))) as container:
            context = container.streams.video[0].codec_context
            found = (context.colorspace, context.color_range, context.color_primaries, context.color_trc)
        assert found == colors

    def test_a_film_without_a_color_matrix_gets_one(self, tmp_path, run):
        source = films.make(tmp_path / "in.mp4", 3, size=(640, 400), colors=(2, 0, 2, 2))
        with av.open(str(run(source))) as container:  # 800 lines: players would take it for BT.709 now
            assert container.streams.video[0].codec_context.colorspace == 6

    def test_metadata_languages_and_the_shape_of_pixels(self, tmp_path, run):
        source = films.make(tmp_path / "in.mp4", 3, sound=True, aspect=Fraction(4, 3))
        with av.open(str(run(source))) as container:
            assert container.metadata["title"] == "A film"
            assert container.streams.audio[0].metadata["language"] == "deu"
            assert container.streams.video[0].codec_context.sample_aspect_ratio == Fraction(4, 3)

    def test_subtitles_and_chapters(self, tmp_path, run):
        films.make(tmp_path / "plain.mkv", 90)
        with av.open(str(tmp_path / "plain.mkv")) as plain, av.open(str(tmp_path / "in.mkv"), "w") as container:
            video = container.add_stream_from_template(plain.streams.video[0], opaque=True)
            said = container.add_mux_stream("subrip", time_base=Fraction(1, 1000))
            container.set_chapters(
                [{"id": 1, "start": 0, "end": 900, "time_base": Fraction(1, 1000), "metadata": {"title": "One"}}]
            )
            for packet in plain.demux(plain.streams.video[0]):
                if packet.size:
                    packet.stream = video
                    container.mux(packet)
            words = av.Packet(b"Good day.")
            words.pts = words.dts = 500
            words.duration, words.time_base, words.stream = 700, Fraction(1, 1000), said
            container.mux(words)
        result = run(tmp_path / "in.mkv", to="out.mkv")
        assert films.packets(result, "subtitle") == [(Fraction(1, 2), b"Good day.")]
        with av.open(str(result)) as container:
            assert container.chapters()[0]["metadata"]["title"] == "One"

    @films.TURNS
    def test_rotation(self, tmp_path, run, monkeypatch):
        source = films.make(tmp_path / "in.mp4", 3, rotation=90)
        kept = [frame.rotation for frame in av.open(str(run(source))).decode(video=0)]
        assert kept == [frame.rotation for frame in av.open(str(source)).decode(video=0)] != [0, 0, 0]
        monkeypatch.setattr(mux, "keeps_rotation", lambda: False)  # an older PyAV: turned upright instead
        turned = run(source, to="turned.mp4")
        with av.open(str(turned)) as container:
            first = next(container.decode(video=0))
            assert (first.width, first.height, first.rotation) == (96, 128, 0)


class TestSpan:
    def test_start_and_end(self, tmp_path, run):
        source = films.make(tmp_path / "in.mp4", 90, sound=True)
        result = run(source, "--start", "1", "--end", "0:02.5")
        assert films.times(result) == [t - 1 for t in films.times(source) if 1 <= t < 2.5]
        heard = [t for t, _ in films.packets(result)]
        assert 0 <= heard[0] < 0.03 and 1.45 < heard[-1] < 1.5
        alone = [bytes_ for t, bytes_ in films.packets(source) if 1 <= t < 2.5]
        assert [bytes_ for _, bytes_ in films.packets(result)] == alone

    def test_a_preview_is_half_plain(self, tmp_path, run, capsys):
        source = films.make(tmp_path / "in.mp4", 150)
        result = run(source, "--preview", "--codec", "ffv1", to="out.mkv")
        assert len(films.times(result)) == 90
        assert "the whole film would take about" in capsys.readouterr().err
        image = next(reader.Reader(result).frames()).image
        assert image[:, 63:65].min() > 200 > image[:, 60].min()

    @pytest.mark.parametrize("span", [["--start", "9"], ["--start", "2", "--end", "1"], ["--start", "soon"]])
    def test_invalid_spans_are_refused(self, tmp_path, span):
        source = films.make(tmp_path / "in.mp4", 30)
        argv = ["video", str(source), str(tmp_path / "out.mp4"), *films.FAST, *span]
        if "soon" in span:
            with pytest.raises(SystemExit):
                verbs.main(argv)
        else:
            assert verbs.main(argv) == 2
        assert sorted(p.name for p in tmp_path.iterdir()) == ["in.mp4"]


class TestRefusals:
    def test_an_existing_file_is_kept(self, tmp_path, run, capsys):
        source = films.make(tmp_path / "in.mp4", 3)
        (tmp_path / "out.mp4").write_text("mine")
        assert run(source, code=1).read_text() == "mine"
        assert "--overwrite" in capsys.readouterr().err
        assert len(films.times(run(source, "--overwrite"))) == 3
        run(source, "--resume")
        assert "nothing to do" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("more", "to", "says"),
        [
            (["--codec", "nonsense"], "out.mp4", "no such video encoder"),
            (["--codec", "aac"], "out.mp4", "no such video encoder"),
            (["--codec", "ffv1", "--crf", "3"], "out.mkv", "does not support it"),
            (["--crf", "900"], "out.mp4", "takes 0 (best) to 51"),
            (["--codec", "h264"], "out.webm", "cannot contain video"),
            ([], "out.avi", "unknown suffix"),
            ([], "out.webm", "cannot contain the aac audio"),
        ],
    )
    def test_impossible_requests_are_refused_before_the_work(self, tmp_path, run, capsys, more, to, says):
        source = films.make(tmp_path / "in.mp4", 3, sound=True)
        run(source, *more, to=to, code=2)
        assert says in capsys.readouterr().err
        assert sorted(p.name for p in tmp_path.iterdir()) == ["in.mp4"]

    def test_files_that_are_no_films(self, tmp_path):
        (tmp_path / "text.mp4").write_text("no film")
        with av.open(str(tmp_path / "sound.mp4"), "w") as container:
            films._sound(container).until(0.1)
        whole = films.make(tmp_path / "whole.mp4", 3).read_bytes()
        (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
        for name in ("missing.mp4", "text.mp4", "sound.mp4", "cut.mp4"):
            with pytest.raises(FileError, match=name):
                reader.Reader(tmp_path / name)

    def test_exotic_colors(self, tmp_path):
        source = films.make(tmp_path / "in.mp4", 3, colors=(8, 1, 1, 1))
        with pytest.raises(OptionError, match="number 8"):
            reader.Reader(source)

    def test_the_input_is_no_output(self, tmp_path, run):
        source = films.make(tmp_path / "out.mp4", 3)
        before = source.read_bytes()
        run(source, "--overwrite", code=2)
        assert source.read_bytes() == before

    def test_damaged_packets_are_left_out_and_said(self, tmp_path, run, capsys):
        source = films.make(tmp_path / "in.mkv", 60, codec="ffv1")
        data = bytearray(source.read_bytes())
        middle = len(data) // 2
        data[middle : middle + 3000] = bytes(3000)
        source.write_bytes(data)
        result = run(source, to="out.mkv")
        assert 40 < len(films.times(result)) <= 60


def test_decoding_times_grow_and_are_no_later_than_showing():
    shown = [0, 40, 20, 10, 30, 100, 80, 60, 110, 500, 300]
    found = mux.decoding_times(shown)
    assert all(a < b for a, b in itertools.pairwise(found))
    assert all(dts <= pts for dts, pts in zip(found, shown, strict=True))
