"""Broken files of every format: each is read or refused with a reason; nothing hangs, and nothing is left behind.

The mutations are random but the same in every run. ``CVSR_FUZZ`` says how many of each format; a search for more takes
``CVSR_FUZZ=500 python -m pytest tests/converters/conversion/test_fuzz.py``.
"""

from __future__ import annotations

import json
import os
import random
import shutil

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="the converter needs TensorFlow")
pytest.importorskip("tf2onnx", reason="the converter needs tf2onnx")

import keras
import onnx
from kit.fuzzing import CASES, mutated, read_in_children

from cvsr.errors import ModelError
from cvsr_converters import convert, networks, sources
from cvsr_converters.conversion.trace import trace
from cvsr_converters.sources.keras.graph import original

pytestmark = [
    pytest.mark.training,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="the child's time is limited by a signal"),
]
WEIGHTS = {"network": "espcn", "network_options": {"scale": 2}}


def model():
    net = networks.build("espcn", scale=2)
    generator = np.random.default_rng(0)
    net.set_weights([generator.normal(0, 0.1, w.shape).astype(np.float32) for w in net.get_weights()])
    return net


def tf1_graph():
    """Return a frozen graph of one convolution, image → large."""
    graph = tf.Graph()
    with graph.as_default():
        x = tf.compat.v1.placeholder(tf.float32, (None, None, None, 1), "image")
        kernel = tf.constant(np.random.default_rng(0).normal(size=(3, 3, 1, 4)).astype(np.float32))
        tf.nn.depth_to_space(tf.nn.conv2d(x, kernel, 1, "SAME"), 2, name="large")
    return graph.as_graph_def()


def tf1_checkpoint(folder):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        x = tf.compat.v1.placeholder(tf.float32, (None, None, None, 1), "image")
        kernel = tf.compat.v1.get_variable("kernel", (3, 3, 1, 4), use_resource=False)
        tf.nn.depth_to_space(tf.nn.conv2d(x, kernel, 1, "SAME"), 2, name="large")
        session.run(tf.compat.v1.global_variables_initializer())
        tf.compat.v1.train.Saver().save(session, str(folder / "net"))


def tfjs(folder):
    """Write a layers model: one convolution."""
    layer = {
        "class_name": "Conv2D",
        "config": {"name": "conv", "filters": 4, "kernel_size": [3, 3], "padding": "same", "activation": "relu"},
    }
    first = {"class_name": "InputLayer", "config": {"batch_input_shape": [None, None, None, 3], "name": "image"}}
    config = {"name": "net", "layers": [first, layer]}
    weights = [
        {"name": "conv/kernel", "shape": [3, 3, 3, 4], "dtype": "float32"},
        {"name": "conv/bias", "shape": [4], "dtype": "float32"},
    ]
    topology = {"keras_version": "2.4.0", "model_config": {"class_name": "Sequential", "config": config}}
    content = {
        "format": "layers-model",
        "modelTopology": topology,
        "weightsManifest": [{"paths": ["shard.bin"], "weights": weights}],
    }
    folder.mkdir()
    (folder / "model.json").write_text(json.dumps(content))
    (folder / "shard.bin").write_bytes(np.random.default_rng(0).normal(size=112).astype(np.float32).tobytes())


def tflite():
    fixed = keras.Sequential([keras.Input((16, 24, 3), batch_size=1), keras.layers.Conv2D(3, 3, padding="same")])
    return tf.lite.TFLiteConverter.from_keras_model(fixed).convert()


@pytest.fixture(scope="module")
def valid(tmp_path_factory):
    """Return {format: path} of a small valid model of each."""
    folder, net = tmp_path_factory.mktemp("valid"), model()
    net.save(folder / "keras_archive.keras")
    net.save(folder / "hdf5.h5")
    net.save_weights(folder / "hdf5_weights.weights.h5")
    net.export(folder / "saved_model", verbose=False)
    (folder / "tf1_graph.pb").write_bytes(tf1_graph().SerializeToString())
    (folder / "tf1_checkpoint").mkdir()
    tf1_checkpoint(folder / "tf1_checkpoint")
    (folder / "tf2_checkpoint").mkdir()
    checkpoint = tf.train.Checkpoint(model=net)
    tf.train.CheckpointManager(checkpoint, str(folder / "tf2_checkpoint"), max_to_keep=1).save()
    tfjs(folder / "tfjs")
    (folder / "tflite.tflite").write_bytes(tflite())
    onnx.save(trace(original(net)), folder / "onnx.onnx")
    return {path.name.partition(".")[0]: path for path in sorted(folder.iterdir())}


FORMATS = (  # a file of each source but torch, which test_fuzz_torch.py has
    "keras_archive", "hdf5", "saved_model", "tf1_graph", "tf1_checkpoint", "tf2_checkpoint", "tfjs", "tflite", "onnx",
    "hdf5_weights",
)  # fmt: skip
assert len(FORMATS) == len(sources.SOURCES)


@pytest.mark.parametrize("name", FORMATS)
def test_broken_files_are_read_or_refused(valid, name, tmp_path):
    options = WEIGHTS if name in ("hdf5_weights", "tf2_checkpoint") else {}
    generator = random.Random(name)
    source = valid[name]
    paths = [source, *(mutated(source, tmp_path / f"{i}{source.suffix}", generator) for i in range(CASES))]
    results = read_in_children(paths, options)
    assert results.pop(str(source))[0] == "read"
    assert {path: result for path, result in results.items() if result[0] not in ("read", "refused", "crash")} == {}
    assert all(said for result, said in results.values() if result == "refused")
    crashes = [path for path, (result, _) in results.items() if result == "crash"]
    for path in crashes:  # the parent is told, and lives
        with pytest.raises(ModelError):
            convert(path, tmp_path / "out.onnx", **options)
    assert not (tmp_path / "out.onnx").exists()


@pytest.mark.parametrize("name", ["hdf5", "saved_model", "tf1_graph", "tflite"])
def test_a_conversion_of_a_broken_file_leaves_nothing(valid, name, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "tmp").mkdir()
    source = valid[name]
    victim = source if source.is_file() else source / "saved_model.pb"
    broken = tmp_path / f"broken{source.suffix}"
    if source.is_dir():
        shutil.copytree(source, broken)
    target = broken / victim.relative_to(source) if source.is_dir() else broken
    target.write_bytes(victim.read_bytes()[: victim.stat().st_size // 2])
    with pytest.raises(ModelError):
        convert(broken, tmp_path / "out.onnx")
    assert list((tmp_path / "tmp").iterdir()) == []
    assert not (tmp_path / "out.onnx").exists()
