"""A finished run becomes a model file, its record and an index; anything wrong becomes a refusal and no file."""

from __future__ import annotations

import json
import os
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the converter needs onnx")

from onnx import numpy_helper

from cvsr.errors import ModelError
from cvsr_converters import export
from cvsr_converters.publish import index
from cvsr_converters.targets import write_atomic


@pytest.fixture(scope="module", autouse=True)
def without_test_sets():
    """With them, an export measures the file; the untrained ones of these tests are not worth it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("CVSR_DATA", raising=False)
        yield


def finished(folder, scale=2, channels=8, blocks=2):
    """Make the folder of a run that has ended, with random weights and biases."""
    from cvsr_converters import networks

    options = {"scale": scale, "channels": channels, "blocks": blocks, "expand": 16}
    model = networks.build("reparam", **options)
    random = np.random.default_rng(scale)
    model.set_weights([random.normal(0, 0.2, w.shape).astype(np.float32) for w in model.get_weights()])
    folder.mkdir(parents=True)
    model.save_weights(folder / "average.weights.h5")
    recipe = {"name": "tiny", "network": {"name": "reparam", **options}, "use": "trying out"}
    record = {"recipe": recipe, "steps": 100, "minutes": 1.5, "psnr": {"Set5": 30.5, "Set14": 28.25}}
    (folder / "record.json").write_text(json.dumps(record))
    (folder / "log.jsonl").write_text("".join(json.dumps({"step": n, "Set5": 30 + n / 99}) + "\n" for n in range(100)))
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    pytest.importorskip("tensorflow", reason="the converter needs TensorFlow")
    pytest.importorskip("tf2onnx", reason="the converter needs tf2onnx")
    return finished(tmp_path_factory.mktemp("runs") / "tiny_x2")


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    """The folder of models after one export from the command line."""
    models = tmp_path_factory.mktemp("models")
    assert export.main([str(run), "-o", str(models / "tiny" / "tiny_x2.onnx")]) == 0
    return models


@pytest.mark.training
def test_the_file_says_all_that_the_runtime_must_know(exported):
    model = onnx.load(exported / "tiny" / "tiny_x2.onnx")
    facts = {p.key: p.value for p in model.metadata_props}
    assert facts == {
        "cvsr.version": "1", "cvsr.name": "tiny_x2", "cvsr.scale": "2", "cvsr.color": "luma", "cvsr.range": "1",
        "cvsr.tail": "subpixel", "cvsr.skip": "nearest", "cvsr.radius": "5", "cvsr.parameters": "1668",
        "cvsr.license": "Apache-2.0",
    }  # fmt: skip
    assert list(facts) == sorted(facts)
    shapes = {
        i.name: [d.dim_value for d in i.type.tensor_type.shape.dim] for i in [*model.graph.input, *model.graph.output]
    }
    assert shapes == {"input": [1, 1, 64, 64], "output": [1, 4, 64, 64]}
    assert model.producer_version == ""
    assert not any(node.doc_string for node in model.graph.node)


@pytest.mark.training
def test_the_same_run_gives_the_same_bytes(run, exported):
    model, record = export.load(run, 2)
    assert export.built(model, record, "tiny_x2", 2).data == (exported / "tiny" / "tiny_x2.onnx").read_bytes()


@pytest.mark.training
def test_fewer_bits_make_what_packs_it_smaller(run, exported):
    model, record = export.load(run, 2)
    data = export.built(model, record, "tiny_x2", 2, half=True, bits=8).data
    constants = onnx.load_from_string(data).graph.initializer
    halves = [numpy_helper.to_array(c) for c in constants if c.name.endswith(".half")]
    assert len(halves) == 3
    assert not any((array.view(np.uint16) & 0b111).any() for array in halves)
    shorter, longer = (zlib.compress(d) for d in (data, (exported / "tiny" / "tiny_x2.onnx").read_bytes()))
    assert len(shorter) < 0.6 * len(longer)


@pytest.mark.training
@pytest.mark.parametrize("scale", [3, 4])
def test_other_scales(tmp_path, scale):
    report = export.export(finished(tmp_path / "run", scale), tmp_path / f"tiny_x{scale}.onnx")
    assert report.ok, report.markdown()
    assert (tmp_path / f"tiny_x{scale}.onnx").exists()


@pytest.mark.training
def test_the_record_of_the_training_lies_beside_it(run, exported):
    book = json.loads((exported / "tiny" / "training.json").read_text())
    entry = book["tiny_x2.onnx"]
    assert entry["psnr"] == {"Set5": 30.5, "Set14": 28.25}
    assert entry["recipe"]["network"]["channels"] == 8
    assert (entry["steps"], entry["minutes"], entry["use"]) == (100, 1.5, "trying out")
    assert len(entry["curve"]) == 40
    assert (entry["curve"][0]["step"], entry["curve"][-1]["step"]) == (0, 99)
    assert set(entry["versions"]) == {"tensorflow", "opencv"}
    assert entry["hardware"] == f"{os.cpu_count()} CPU cores"
    assert str(run) not in json.dumps(book), "no path of this machine"


@pytest.mark.training
def test_a_second_model_joins_the_record_and_a_new_use_replaces_the_old(run, exported, tmp_path):
    path = tmp_path / "tiny_x2.onnx"
    (tmp_path / "training.json").write_text('{"other_x2.onnx": {"use": "stays"}, "tiny_x2.onnx": {"use": "old"}}')
    record = json.loads((run / "record.json").read_text())
    export._remember(path, run, record, None)
    export._remember(path, run, record, "new")
    book = json.loads((tmp_path / "training.json").read_text())
    assert {name: entry["use"] for name, entry in book.items()} == {"other_x2.onnx": "stays", "tiny_x2.onnx": "new"}


@pytest.mark.training
def test_nothing_is_written_when_verification_fails(run, tmp_path, monkeypatch, capsys):
    from cvsr_converters.sources.keras import graph

    right = graph.original

    def wrong(model):
        net = right(model)
        return replace(net, run=lambda blob: [1.01 * net.run(blob)[0]])

    monkeypatch.setattr(graph, "original", wrong)
    assert export.main([str(run), "-o", str(tmp_path / "tiny_x2.onnx")]) == 1
    assert list(tmp_path.iterdir()) == []
    said = capsys.readouterr()
    assert "wrong" in said.out
    assert "not written" in said.err


@pytest.mark.training
def test_refusals_before_any_work(run, tmp_path, capsys):
    assert export.main([str(run), "-o", str(tmp_path / "tiny_x3.onnx")]) == 1
    assert "was not trained for x3" in capsys.readouterr().err
    with pytest.raises(ModelError, match="has not finished"):
        export.load(tmp_path, 2)


def test_thinned(tmp_path):
    assert export.thinned(tmp_path / "none") == []
    (tmp_path / "log").write_text('{"step": 1}\n\n{"step": 2}\n')
    assert export.thinned(tmp_path / "log") == [{"step": 1}, {"step": 2}]


@pytest.mark.training
def test_index(exported, capsys):
    assert index.main([str(exported)]) == 0
    (entry,) = json.loads((exported / "index.json").read_text())["models"]
    assert len(entry.pop("sha256")) == 64
    assert entry == {
        "name": "tiny_x2", "family": "tiny", "scale": 2, "file": "tiny/tiny_x2.onnx", "radius": 5, "parameters": 1668,
        "bytes": (exported / "tiny" / "tiny_x2.onnx").stat().st_size, "psnr": {"Set5": 30.5, "Set14": 28.25},
        "use": "trying out",
    }  # fmt: skip
    before = (exported / "index.json").read_bytes()
    assert index.main([str(exported)]) == 0
    assert (exported / "index.json").read_bytes() == before


def small(path, name, scale, **facts):
    """Write an ONNX file that has metadata and next to nothing else."""
    model = onnx.parser.parse_model(
        '<ir_version: 7, opset_import: ["": 13]> g (float[1] x) => (float[1] y) { y = Relu(x) }'
    )
    for key, value in {"name": name, "scale": scale, **facts}.items():
        model.metadata_props.add(key=f"cvsr.{key}", value=str(value))
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)


def test_index_is_sorted_and_needs_no_record(tmp_path):
    small(tmp_path / "b" / "b_x2.onnx", "b_x2", 2)
    small(tmp_path / "a" / "a_x4.onnx", "a_x4", 4, radius=9)
    small(tmp_path / "a" / "a_x3.onnx", "a_x3", 3)
    entries = index.build(tmp_path)["models"]
    assert [e["file"] for e in entries] == ["a/a_x3.onnx", "a/a_x4.onnx", "b/b_x2.onnx"]
    assert [e["radius"] for e in entries] == [None, 9, None]
    assert entries[0]["psnr"] == {}


def test_index_refuses_strangers_and_doubles(tmp_path, capsys):
    small(tmp_path / "a_x2.onnx", "a_x2", 2)
    small(tmp_path / "copy.onnx", "a_x2", 2)
    with pytest.raises(ModelError, match="several files say that they are a_x2"):
        index.build(tmp_path)
    (tmp_path / "copy.onnx").write_bytes(b"no model")
    assert index.main([str(tmp_path)]) == 1
    assert "copy.onnx" in capsys.readouterr().err
    assert not (tmp_path / "index.json").exists()


def test_write_atomic_leaves_the_old_file_when_it_fails(tmp_path, monkeypatch):
    path = tmp_path / "new" / "file"
    write_atomic(path, b"old")
    monkeypatch.setattr(Path, "replace", lambda self, target: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]
