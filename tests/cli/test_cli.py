from __future__ import annotations

import importlib.util
import io
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from kit import onnxlite
from PIL import Image as Pillow

import cvsr
from cvsr import machine
from cvsr._cv2 import cv2
from cvsr.batch import converter, memory
from cvsr.cli import bar as progress
from cvsr.cli import verbs
from cvsr.errors import DeviceError, OpenCVError
from cvsr.io import reader

ROOT = Path(cvsr.__file__).parent.parent


def picture(height=6, width=8, channels=3, dtype="uint8") -> np.ndarray:
    top = 1 if dtype == "float32" else np.iinfo(dtype).max
    shape = (height, width, channels) if channels else (height, width)
    values = np.random.default_rng(0).random(shape)
    if channels == 4:
        values[..., 3] = values[..., 3] / 2 + 0.3  # the color of invisible pixels may change
    return (values * top).astype(dtype)


def save(path: str, image: np.ndarray | None = None) -> Path:
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    image = picture() if image is None else image
    cv2.imencode(target.suffix or ".png", image)[1].tofile(target)
    return target


def names(folder: str = ".") -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file())


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


def child(*argv: str, **keywords) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **keywords.pop("env", {})}
    return subprocess.run([sys.executable, "-m", "cvsr", *argv], capture_output=True, env=environment, **keywords)


class TestNamesAndPlaces:
    def test_beside_the_input_in_its_format(self, run):
        image = picture()
        save("grüße an.png", image)
        assert run("upscale", "grüße an.png") == (0, "", "cvsr: 1 written, 0 skipped, 0 failed\n")
        np.testing.assert_array_equal(reader.read("grüße an_x2.png").image, image.repeat(2, 0).repeat(2, 1))

    @pytest.mark.parametrize(
        ("options", "name", "size"),
        [
            (["-s", "1.5"], "a_x1.5.png", (9, 12)),
            (["-s", "3.0"], "a_x3.png", (18, 24)),
            (["--size", "20x7"], "a_20x7.png", (7, 20)),
            (["--format", "jpg"], "a_x2.jpg", (12, 16)),
            (["--format", "TIF"], "a_x2.tif", (12, 16)),
            (["-o", "new/r.webp"], "new/r.webp", (12, 16)),
            (["-o", "new/"], "new/a_x2.png", (12, 16)),
            (["-o", "r", "--format", "jpg"], "r", (12, 16)),
        ],
    )
    def test_what_the_options_make_of_it(self, run, options, name, size):
        save("a.png")
        assert run("upscale", "a.png", *options)[0] == 0
        assert names() == sorted(["a.png", name])
        assert reader.read(name).image.shape == (*size, 3)

    def test_a_folder_is_mirrored(self, run):
        for name in ("in/a.png", "in/b.JPG", "in/sub/c.tiff"):
            save(name)
        Path("in/notes.txt").touch()
        assert run("upscale", "in", "-r", "-o", "out", "--format", "png")[0] == 0
        assert names("out") == ["a_x2.png", "b_x2.png", "sub/c_x2.png"]

    def test_a_folder_twice_in_place(self, run):
        save("in/a.png")
        save("in/sub/c.bmp")
        assert "2 written, 0 skipped" in run("upscale", "in", "-r")[2]
        assert names("in") == ["a.png", "a_x2.png", "sub/c.bmp", "sub/c_x2.bmp"]
        before = {name: Path("in", name).stat().st_mtime_ns for name in names("in")}
        assert run("upscale", "in", "-r") == (
            0, "", "cvsr: 0 written, 2 skipped (done already; --overwrite does them again), 0 failed\n"
        )  # fmt: skip
        assert {name: Path("in", name).stat().st_mtime_ns for name in names("in")} == before
        assert "2 written, 0 skipped, 0 failed" in run("upscale", "in", "-r", "--overwrite")[2]

    def test_the_output_folder_inside_the_input(self, run):
        save("in/a.png")
        for _ in range(2):
            assert run("upscale", "in", "-r", "-o", "in/out")[0] == 0
            assert names("in") == ["a.png", "out/a_x2.png"]

    def test_formats_that_cannot_be_written_become_png(self, run):
        Pillow.fromarray(picture()).convert("1").save("bits.pbm")
        assert run("upscale", "bits.pbm")[0] == 0
        assert names() == ["bits.pbm", "bits_x2.png"]

    def test_patterns_that_the_shell_left(self, run):
        save("a.png")
        save("b.png")
        assert "2 written" in run("upscale", "*.png")[2]
        assert "0 written, 2 skipped" in run("upscale", "*.png")[2]

    def test_patterns_that_the_shell_expanded(self, run):
        save("a.png")
        run("upscale", "a.png")
        code, _, error = run("upscale", "a.png", "a_x2.png")
        assert (code, names()) == (0, ["a.png", "a_x2.png"])
        assert "0 written, 2 skipped" in error


class TestKinds:
    def test_16_bits_alpha_and_gray_stay(self, run):
        for name, kind in {"deep": (3, "uint16"), "alpha": (4, "uint8"), "gray": (0, "uint8")}.items():
            image = picture(6, 8, *kind)
            save(f"{name}.png", image)
            assert run("upscale", f"{name}.png")[0] == 0
            np.testing.assert_array_equal(reader.read(f"{name}_x2.png").image, image.repeat(2, 0).repeat(2, 1))

    def test_floats_stay_in_tiff(self, run):
        save("a.tiff", picture(6, 8, 3, "float32"))
        image = reader.read("a.tiff").image  # old versions of OpenCV write floats with loss
        assert image.dtype == np.float32
        assert run("upscale", "a.tiff")[0] == 0
        np.testing.assert_array_equal(reader.read("a_x2.tiff").image, image.repeat(2, 0).repeat(2, 1))

    def test_values_beyond_1_are_an_error(self, run):
        save("a.pfm", picture(6, 8, 3, "float32") * 50)
        code, _, error = run("upscale", "a.pfm")
        assert (code, names()) == (1, ["a.pfm"])
        assert "failed: a.pfm: a float image has values in 0..1" in error

    def test_16_bits_become_8_in_jpeg_with_a_note(self, run):
        save("a.png", picture(dtype="uint16"))
        code, _, error = run("upscale", "a.png", "--format", "jpg")
        assert code == 0
        assert "cvsr: a.png: jpg keeps 8 bits of its 16 bits per sample" in error

    def test_transparency_is_not_lost_in_jpeg(self, run):
        save("a.png", picture(channels=4))
        code, _, error = run("upscale", "a.png", "--format", "jpg")
        assert (code, names()) == (1, ["a.png"])
        assert "partly transparent" in error

    def test_the_result_is_upright_and_says_so(self, run):
        image = picture(6, 8)
        block = Pillow.Exif()
        block[274] = 6
        Pillow.fromarray(np.rot90(image)[..., ::-1].copy()).save("a.png", exif=block)
        assert run("upscale", "a.png")[0] == 0
        result = Pillow.open("a_x2.png")
        assert result.getexif()[274] == 1
        np.testing.assert_array_equal(np.asarray(result)[..., ::-1], image.repeat(2, 0).repeat(2, 1))

    @pytest.mark.parametrize("model", ["bicubic", "area"])
    def test_a_turned_picture_goes_through_interpolation(self, run, model):
        block = Pillow.Exif()
        block[274] = 7
        Pillow.fromarray(picture()).save("a.png", exif=block)
        assert run("upscale", "a.png", model=model)[0] == 0
        assert reader.read("a_x2.png").image.shape == (16, 12, 3)

    def test_quality(self, run):
        save("a.png", picture(64, 64))
        for quality in ("10", "90"):
            assert run("upscale", "a.png", "-o", f"q{quality}.jpg", "--quality", quality)[0] == 0
        assert Path("q10.jpg").stat().st_size < Path("q90.jpg").stat().st_size


class TestPipes:
    def test_stdin_to_stdout_keeps_the_format(self):
        image = picture()
        for suffix, magic in ((".png", b"\x89PNG"), (".jpg", b"\xff\xd8"), (".tiff", b"II*\0")):
            done = child("upscale", "-", "-m", "nearest", input=cv2.imencode(suffix, image)[1].tobytes())
            assert (done.returncode, done.stderr) == (0, b"")
            assert done.stdout.startswith(magic)
            assert reader.decode(np.frombuffer(bytearray(done.stdout), np.uint8)).image.shape == (12, 16, 3)

    def test_stdin_to_a_file_and_a_file_to_stdout(self):
        data = save("a.png").read_bytes()
        done = child("upscale", "-", "-o", "r.webp", "-m", "nearest", input=data)
        assert (done.returncode, names()) == (0, ["a.png", "r.webp"])
        done = child("upscale", "a.png", "-o", "-", "--format", "jpg", "-m", "nearest")
        assert done.stdout.startswith(b"\xff\xd8")

    def test_nothing_is_written_of_a_bad_image(self):
        done = child("upscale", "-", "-m", "nearest", input=b"no image")
        assert (done.returncode, done.stdout) == (1, b"")
        assert b"failed: stdin cannot be decoded" in done.stderr

    def test_a_reader_that_left(self):
        data = save("a.png", picture(300, 300)).read_bytes()
        command = f"{sys.executable} -m cvsr upscale - -m nearest | head -c 10"
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, shell=True, input=data, capture_output=True, env=environment, timeout=600)
        assert b"Traceback" not in done.stderr

    def test_what_makes_no_sense(self, run):
        save("a.png")
        assert "- stands for one image" in run("upscale", "-", "a.png")[2]
        assert "- stands for one image" in run("upscale", "a.png", "a.png", "-o", "-")[2]
        code, _, error = run("upscale", "-", "-o", "folder/")
        assert code == 2
        assert "has no name" in error

    def test_no_image_goes_to_a_terminal(self, run, monkeypatch):
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
        save("a.png")
        code, _, error = run("upscale", "a.png", "-o", "-")
        assert code == 2
        assert "would go to the terminal" in error


class TestFailures:
    def test_one_bad_file_does_not_stop_the_others(self, run):
        save("in/a.png")
        save("in/z.png")
        Path("in/bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
        Path("in/empty.jpg").touch()
        code, _, error = run("upscale", "in", "nix.png")
        assert code == 1
        assert error.splitlines()[-1] == "cvsr: 2 written, 0 skipped, 3 failed"
        assert "failed: in/bad.png cannot be decoded" in error
        assert "failed: in/empty.jpg is empty" in error
        assert "failed: nix.png: there is no such file" in error
        assert names("in") == ["a.png", "a_x2.png", "bad.png", "empty.jpg", "z.png", "z_x2.png"]

    def test_a_bug_is_one_files_failure_too(self, run, monkeypatch):
        save("a.png")
        save("b.png")
        read = reader.read

        def strange(path):
            if Path(path).name == "a.png":
                raise ZeroDivisionError
            return read(path)

        monkeypatch.setattr(reader, "read", strange)
        code, _, error = run("upscale", "a.png", "b.png")
        assert code == 1
        assert "failed: a.png: ZeroDivisionError" in error
        assert "1 written, 0 skipped, 1 failed" in error

    @pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
    def test_inputs_are_never_overwritten(self, run, overwrite):
        before = save("a.png").read_bytes()
        save("a_x2.png")
        code, _, error = run("upscale", "a.png", "-o", "a.png", *overwrite)
        assert code == 1
        assert "would overwrite its own input" in error
        run("upscale", "a.png", "a_x2.png", *overwrite)
        assert Path("a.png").read_bytes() == before

    def test_two_results_of_one_name(self, run):
        save("a.png")
        save("a.jpg")
        code, _, error = run("upscale", "a.jpg", "a.png", "--format", "webp")
        assert code == 1
        assert "failed: a.png: its result would have the same name as that of a.jpg" in error
        assert "1 written, 0 skipped, 1 failed" in error

    @pytest.mark.parametrize(
        ("argv", "message"),
        [
            ([], "required"),
            (["upscale"], "required"),
            (["nonsense"], "invalid choice"),
            (["upscale", "a.png", "-s", "2", "--size", "3x3"], "not allowed with"),
            (["upscale", "a.png", "--size", "3"], "write it like 1920x1080"),
            (["upscale", "a.png", "--size", "0x3"], "write it like 1920x1080"),
            (["upscale", "a.png", "--quality", "0"], "from 1 to 100"),
            (["upscale", "a.png", "-s", "0"], "above 0"),
            (["upscale", "a.png", "-s", "nan"], "above 0"),
            (["upscale", "a.png", "--format", "xyz"], "can write png, tiff"),
            (["upscale", "a.png", "-o", "r.xyz"], "end it in /"),
            (["upscale", "a.png", "-o", "r.jpg", "--format", "png"], "contradict"),
            (["upscale", "a.png", "b.png", "-o", "a.png"], "is a file"),
            (["upscale", "a.png", "--max-memory", "much"], "max_memory"),
            (["upscale", "a.png", "--max-memory", "10M"], "OpenCV and the model alone take"),
            (["upscale", "a.png", "-m", "nosuch"], "no model is called 'nosuch'"),
            (["upscale", "a.png", "-d", "nosuch"], "no device is called"),
        ],
    )
    def test_wrong_usage_is_exit_code_2(self, run, argv, message):
        save("a.png")
        code, _, error = run(*argv or ["--nothing"], model=None if "-m" in argv else "nearest")
        assert (code, names()) == (2, ["a.png"])
        assert message in error or not argv

    def test_nothing_to_do(self, run):
        Path("empty").mkdir()
        code, _, error = run("upscale", "empty")
        assert code == 1
        assert "no images found in empty (-r looks deeper)" in error

    def test_a_missing_device_is_exit_code_3(self, run, monkeypatch):
        def missing(*_, **__):
            raise DeviceError("no such device here")

        save("a.png")
        monkeypatch.setattr(converter, "Upscaler", missing)
        assert run("upscale", "a.png") == (3, "", "cvsr: no such device here\n")

    def test_a_device_that_dies_ends_the_run(self, run, monkeypatch):
        def dying(*_, **__):
            raise DeviceError("the device is gone")

        for name in ("a.png", "b.png", "c.png"):
            save(name)
        monkeypatch.setattr(converter.Converter, "convert", dying)
        code, _, error = run("upscale", "a.png", "b.png", "c.png")
        assert code == 3
        assert "stopped with 3 to go" in error
        assert "the device is gone" in error

    def test_opencv_that_is_missing_is_exit_code_3(self):
        Path("fake").mkdir()
        Path("fake/cv2.py").write_text("raise ImportError('libGL.so.1')")
        save("a.png")
        done = child("upscale", "a.png", env={"PYTHONPATH": f"fake{os.pathsep}{ROOT}"})
        assert done.returncode == 3
        assert b"pip install opencv-python-headless" in done.stderr
        assert b"Traceback" not in done.stderr

    def test_warnings_and_notes_are_lines_of_their_own(self, run, monkeypatch):
        class Warns(converter.Upscaler):
            def __init__(self, *arguments, **keywords):
                super().__init__(*arguments, **keywords)
                warnings.warn("opencl is left out", RuntimeWarning, stacklevel=2)

        monkeypatch.setattr(converter, "Upscaler", Warns)
        save("a.png")
        assert run("upscale", "a.png")[2].splitlines()[0] == "cvsr: opencl is left out"


class TestMemory:
    @pytest.fixture
    def model(self) -> str:
        Path("tiny.onnx").write_bytes(onnxlite.conv_chain(4, 1, 2))
        return "tiny.onnx"

    @pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell a process's peak")
    def test_the_whole_process_stays_within_the_budget(self, model):
        save("a.png", cv2.resize(picture(40, 60), (2400, 1600)))
        script = (
            "import sys; from cvsr import cli, machine; code = cli.main(sys.argv[1:]);"
            "print(machine.peak()); sys.exit(code)"
        )
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        limit = 170 << 20  # with the result as a whole, 46 MB, OpenCV 4.14 would hold more
        for suffix, expected in ((".png", 0), (".webp", 1)):
            command = [sys.executable, "-c", script, "upscale", "a.png", "-o", "r" + suffix, "-m", model]
            done = subprocess.run([*command, "--max-memory", "170M"], capture_output=True, env=environment, text=True)
            assert done.returncode == expected, done.stderr
            if expected == 0:
                assert int(done.stdout) <= limit
                assert reader.read("r" + suffix).image.shape == (3200, 4800, 3)
            else:
                assert "--max-memory is 170 MB: raise it, or write png or tiff" in done.stderr

    def test_streaming_does_not_change_the_result(self, run, model):
        save("a.png", picture(200, 150))
        run("upscale", "a.png", "-o", "r.png", model=model)
        expected = cvsr.Upscaler(model, 2)(picture(200, 150))
        np.testing.assert_array_equal(reader.read("r.png").image, expected)

    def test_an_image_that_was_too_large_to_read_is_said(self, run, monkeypatch):
        save("a.png")
        monkeypatch.setattr(converter, "peak", lambda: 1 << 20)  # before
        monkeypatch.setattr(memory, "peak", lambda: 3 << 40)  # after
        code, _, error = run("upscale", "a.png", "--max-memory", "2T")
        assert code == 1
        assert "failed: a.png: reading it took 3145728 MB and --max-memory is 2097152 MB" in error

    def test_what_a_process_holds_is_known(self):
        assert 10 << 20 < machine.resident() <= max(machine.peak(), machine.resident())


class TestOtherVerbs:
    def test_version_and_help_load_neither_opencv_nor_numpy(self):
        for option in ("--version", "--help"):
            script = (
                "import sys, cvsr.cli.verbs\n"
                f"try: cvsr.cli.verbs.main(['{option}'])\n"
                "except SystemExit as stop: assert stop.code == 0\n"
                "assert not {'cv2', 'numpy'} & set(sys.modules)"
            )
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            done = subprocess.run([sys.executable, "-c", script], capture_output=True, env=environment, text=True)
            assert done.returncode == 0, done.stderr
            assert (f"cvsr {cvsr.__version__}" if option == "--version" else "upscale") in done.stdout

    @pytest.fixture
    def zoo_folder(self, monkeypatch):
        Path("zoo").mkdir()
        row = {"family": "cvsr-small", "file": "a.onnx", "sha256": "0", "bytes": 51000, "parameters": 12596}
        rows = [
            row | {"name": f"cvsr-small_x{scale}", "scale": scale, "psnr": {"Set5": psnr}, "use": "photos"}
            for scale, psnr in ((2, 37.21), (3, 33.2))
        ]
        Path("zoo/index.json").write_text(json.dumps({"version": 1, "models": rows}))
        monkeypatch.setenv("CVSR_MODEL_PATH", "zoo")

    def test_models(self, run, zoo_folder):
        code, out, _ = run("models")
        lines = out.splitlines()
        assert code == 0
        assert lines[0].split()[:3] == ["NAME", "SCALES", "SIZE"]
        small = next(line for line in lines if line.startswith("cvsr-small"))
        assert small.endswith("photos")
        assert {"(auto)", "x2,", "13k", "37.21"} <= set(small.split())
        assert any(line.startswith("lanczos ") for line in lines)

    def test_models_as_json(self, run, zoo_folder):
        told = json.loads(run("models", "--json")[1])
        small = next(entry for entry in told["models"] if entry["name"] == "cvsr-small_x3")
        assert (small["scale"], small["default"], small["psnr"]) == (3, True, {"Set5": 33.2})
        assert "bicubic" in told["interpolations"]

    @pytest.mark.parametrize("ok", [True, False])
    def test_doctor(self, run, monkeypatch, ok):
        from cvsr import doctor

        monkeypatch.setattr(doctor, "report", lambda: {"ok": ok})
        monkeypatch.setattr(doctor, "text", lambda report: f"ok: {report['ok']}")
        assert run("doctor") == (0 if ok else 3, f"ok: {ok}\n", "")
        assert json.loads(run("doctor", "--json")[1]) == {"ok": ok}

    def test_eval_is_handed_on(self, run, monkeypatch):
        from cvsr.cli import evaluate

        monkeypatch.setattr(evaluate, "main", lambda args: 7 if args.data == [Path("set")] else 8)
        assert run("eval", "bicubic", "--data", "set")[0] == 7

    def test_errors_of_verbs_become_exit_codes(self, run, monkeypatch):
        from cvsr import doctor

        def broken():
            raise OpenCVError("no cv2")

        monkeypatch.setattr(doctor, "report", broken)
        assert run("doctor") == (3, "", "cvsr: no cv2\n")

    def test_python_dash_m(self):
        assert child("--version").stdout.split() == [b"cvsr", cvsr.__version__.encode()]


class Terminal(io.StringIO):
    def isatty(self):
        return True


class TestBar:
    @pytest.fixture(autouse=True)
    def width(self, monkeypatch):
        monkeypatch.setenv("COLUMNS", "60")
        monkeypatch.setenv("TERM", "xterm")

    def test_it_is_silent_where_no_terminal_is(self):
        stream = io.StringIO()
        bar = progress.Bar(stream)
        bar.start("a")
        bar.update(1, 2)
        bar.clear()
        assert stream.getvalue() == ""

    def test_it_draws_and_goes(self):
        stream, now = Terminal(), iter([0, 0, 2, 4, 4.01, 4.02]).__next__
        bar = progress.Bar(stream, clock=now)
        bar.start("a.png")
        bar.update(1, 4)
        bar.update(2, 4)
        shown = stream.getvalue().split("\r")[-1]
        assert shown == "a.png [############------------]  50% 0:04 left\x1b[K"
        bar.update(3, 4)  # too soon after
        assert stream.getvalue().endswith(shown)
        bar.update(4, 4)  # the end is always shown
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


@pytest.mark.skipif(importlib.util.find_spec("onnx") is not None, reason="what conversion needs is installed here")
def test_convert_says_what_it_needs_and_how_to_get_it(tmp_path, capsys):
    source, out = tmp_path / "random_x2.onnx", tmp_path / "out_x2.onnx"
    source.write_bytes(onnxlite.conv_chain(4, 1, 2, 0))
    assert verbs.main(["convert", str(source), "-o", str(out)]) == 2
    assert "pip install 'cvsr[convert]'" in capsys.readouterr().err
    assert not out.exists()


def test_convert_without_its_package_says_so(monkeypatch, capsys):
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **_: [])
    assert verbs.main(["convert", "a", "-o", "b"]) == 2
    assert "pip install" in capsys.readouterr().err
