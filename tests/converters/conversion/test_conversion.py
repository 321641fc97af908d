"""``convert`` as a user calls it: a proven file or none, a reason, and nothing left behind, whatever the child does."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the converter needs onnx")
pytest.importorskip("onnxruntime", reason="the ONNX source needs onnxruntime")

from onnx import numpy_helper, parser

import cvsr
from cvsr.cli import verbs
from cvsr.errors import ModelError, OptionError
from cvsr_converters import Conversion, convert
from cvsr_converters.conversion import convert as conversion
from cvsr_converters.proof import environments, verify

posix = pytest.mark.skipif(sys.platform == "win32", reason="a shell script plays the interpreter")


def espcn(scale=3, seed=0):
    """Return the ONNX model of a small luma network that nearly repeats pixels, as PyTorch would export it."""
    random = np.random.default_rng(seed)
    body = f"""a = Conv<kernel_shape = [3, 3], pads = [1, 1, 1, 1]>(image, w, b) c = Relu(a)
        d = Conv<kernel_shape = [3, 3], pads = [1, 1, 1, 1]>(c, v, e)
        large = DepthToSpace<blocksize = {scale}, mode = "CRD">(d)"""
    text = f'<ir_version: 7, opset_import: ["": 13]> g (float[1,1,h,w] image) => (float[1,1,H,W] large) {{ {body} }}'
    model = parser.parse_model(text)
    w, v = random.normal(0, 0.02, (4, 1, 3, 3)), random.normal(0, 0.02, (scale**2, 4, 3, 3))
    w[:, 0, 1, 1] += 1
    v[:, :, 1, 1] += 0.25
    constants = {"w": w, "b": random.normal(0, 0.01, 4), "v": v, "e": random.normal(0, 0.01, scale**2)}
    model.graph.initializer.extend(numpy_helper.from_array(a.astype(np.float32), n) for n, a in constants.items())
    return model


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "my espcn.onnx"
    onnx.save(espcn(), path)
    return path


@pytest.fixture(scope="module")
def converted(source, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "espcn_x3.onnx"
    said = []
    report = convert(source, out, say=said.append)
    return out, report, said


def test_the_file_is_proven_and_runs_in_cvsr(source, converted, photo):
    out, report, said = converted
    assert report.ok, report.text()
    assert [p.name for p in out.parent.iterdir()] == [out.name]
    assert report.bytes == out.stat().st_size
    info = cvsr.open_model(out)
    assert (info.name, info.scale, info.color, info.range, info.tail) == ("espcn_x3", 3, "luma", 1, "subpixel")
    assert info.radius == 2
    assert info.sha256 == report.sha256
    assert len(said) == 4
    gray = photo("camera")[100:140, 60:110]
    result = cvsr.upscale(gray, 3, model=out)
    original = cvsr.upscale(gray, 3, model=cvsr.open_model(source, scale=3, range=1, tail="image"))
    assert np.abs(result.astype(int) - original).max() <= 1


def test_the_report(converted):
    _, report, _ = converted
    assert Conversion.from_json(report.json()) == report
    assert "| onnxruntime" in report.markdown()
    assert "scale: 3" in report.markdown()
    assert "luma" in report.text()
    assert "OpenCV" in report.text()


def test_the_same_input_gives_the_same_bytes(source, converted, tmp_path):
    out, _, _ = converted
    convert(source, tmp_path / out.name)
    assert (tmp_path / out.name).read_bytes() == out.read_bytes()


def test_without_out_nothing_is_written(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert convert(source).ok
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_leaves_the_shuffle_to_the_host(converted, tmp_path):
    """What the converter wrote, converted again: the shuffle is in the metadata on both sides."""
    out, report, _ = converted
    again = convert(out, tmp_path / out.name)
    assert again.ok, again.text()
    assert again.facts == report.facts


def test_half(source, converted, tmp_path):
    out, _, _ = converted
    report = convert(source, tmp_path / "half_x3.onnx", half=True)
    assert report.ok, report.text()
    assert report.bytes < out.stat().st_size
    assert report.proof.tolerance > 1e-4


def test_standalone(source, tmp_path, photo):
    cv2 = pytest.importorskip("cv2")
    out = tmp_path / "standalone.onnx"
    report = convert(source, out, to="standalone")
    assert report.ok, report.text()
    assert (report.facts["kind"], report.facts["color"], report.facts["range"]) == ("standalone", "bgr", 255)
    image = photo("astronaut")[:48, 100:160]
    net = cv2.dnn.readNetFromONNX(str(out))
    net.setInput(cv2.dnn.blobFromImage(image))
    result = np.rint(net.forward()[0].transpose(1, 2, 0))
    wanted = cvsr.upscale(image, 3, model=cvsr.open_model(source, scale=3, range=1, tail="image"))
    assert np.abs(result - wanted)[9:-9, 9:-9].max() <= 1


def test_a_file_that_would_be_wrong_is_not_written(source, tmp_path, monkeypatch, capsys):
    """The child is replaced by one that reports another result from OpenCV."""
    report = Conversion(
        "a", "b", "onnx", proof=verify.Report("a", rows=[verify.Row("OpenCV 4", "classic", "wrong", 1.0)])
    )
    monkeypatch.setattr(conversion, "_in_child", lambda *_: (b"wrong", report))
    assert not convert(source, tmp_path / "out.onnx").ok
    assert verbs.main(["convert", str(source), "-o", str(tmp_path / "out.onnx")]) == 1
    assert "not written" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.onnx", None, "no file or folder"),
        ("empty.onnx", b"", "no ONNX graph"),
        ("photo.onnx", b"\x89PNG\r\n\x1a\n" * 100, "not an ONNX file"),
        ("model.xyz", b"what is this", "none of the supported formats"),
    ],
)
def test_refusals_say_why_and_leave_nothing(tmp_path, name, content, message, capsys):
    source, out = tmp_path / name, tmp_path / "out" / "x_x2.onnx"
    if content is not None:
        source.write_bytes(content)
    with pytest.raises(ModelError, match=message):
        convert(source, out)
    assert verbs.main(["convert", str(source), "-o", str(out)]) == 2
    assert "Traceback" not in capsys.readouterr().err
    assert not out.parent.exists()


def test_wrong_words_are_refused_before_any_work(source, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(conversion, "_in_child", lambda *_: pytest.fail("it began"))
    with pytest.raises(OptionError, match=r"must end in \.pb"):
        convert(source, tmp_path / "a.onnx", to="pb")
    with pytest.raises(OptionError, match="onnx, standalone, pb"):
        convert(source, to="tensorrt")
    with pytest.raises(OptionError, match="is a folder"):
        convert(source, _folder(tmp_path / "b.onnx"))
    with pytest.raises(OptionError, match="invalid OpenCV version 'latest'"):
        convert(source, opencv=["latest"])
    assert verbs.main(["convert", str(source), "-o", str(tmp_path / "a.onnx"), "--report", "r.txt"]) == 2
    assert ".md or .json" in capsys.readouterr().err


def _folder(path):
    path.mkdir()
    return path


@posix
@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("kill -SEGV $$", "crashed .SIGSEGV."),
        ("echo 'RuntimeError: odd' >&2; exit 1", "failed: RuntimeError: odd"),
        ("sleep 60 & sleep 60", "stopped after 1 seconds"),
        ("""echo '{"say": "reading"}'; echo '{"say": "looking"}'; sleep 60""", "stopped after 1 seconds"),
    ],
)
def test_whatever_the_child_does_the_parent_survives(source, tmp_path, monkeypatch, script, message):
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    monkeypatch.setattr(conversion.sys, "executable", str(python))
    monkeypatch.setenv("TMPDIR", str(_folder(tmp_path / "tmp")))
    monkeypatch.setattr(conversion.tempfile, "tempdir", None)
    with pytest.raises(ModelError, match=message):
        convert(source, tmp_path / "out_x3.onnx", timeout=1 if "sleep" in script else 300)
    assert not (tmp_path / "out_x3.onnx").exists()
    assert list((tmp_path / "tmp").iterdir()) == []


@posix
def test_reading_has_a_limit_of_its_own(source, tmp_path, monkeypatch):
    python = tmp_path / "python"
    python.write_text("""#!/bin/sh
        echo '{"say": "reading"}'; sleep 60""")
    python.chmod(0o755)
    monkeypatch.setattr(conversion.sys, "executable", str(python))
    monkeypatch.setattr(conversion, "READING", 1)
    with pytest.raises(ModelError, match="of which reading may take 1"):
        convert(source)


@posix
def test_memory_is_bounded(source, capsys):
    with pytest.raises(ModelError):
        convert(source, max_memory="200M")
    with pytest.raises(OptionError, match="max_memory"):
        convert(source, max_memory="much")


def test_the_command_line(source, tmp_path, capsys):
    out = tmp_path / "espcn_x3.onnx"
    code = verbs.main(["convert", str(source), "-o", str(out), "--report", str(tmp_path / "report.json")])
    said = capsys.readouterr()
    assert code == 0, said.err
    assert f"written: {out}" in said.out
    assert json.loads((tmp_path / "report.json").read_text())["ok"] is True


def test_the_environment_of_another_opencv_is_found_or_made_whole(tmp_path, monkeypatch):
    monkeypatch.setenv("CVSR_CACHE", str(tmp_path))
    assert environments.python(sys.executable) == sys.executable
    place = tmp_path / "opencv" / "py{}.{}-4.99.0.1".format(*sys.version_info[:2])
    monkeypatch.setattr(environments, "_run", lambda command: _installed(command, place))
    said = []
    assert environments.python("4.99.0.1", said.append) == str(environments.scripts(place) / "python")
    assert len(said) == 1
    environments.python("4.99.0.1", said.append)
    assert len(said) == 1, "made once"

    def fails(command):
        raise OptionError("no such version")

    monkeypatch.setattr(environments, "_run", fails)
    with pytest.raises(OptionError, match="no such version"):
        environments.python("4.98.0.1")
    assert [p.name for p in place.parent.iterdir()] == [place.name]


def _installed(command, place):
    """Play venv and pip."""
    if "venv" in command:
        python = environments.scripts(Path(command[-1])) / "python"
        python.parent.mkdir(parents=True, exist_ok=True)
        python.touch()
