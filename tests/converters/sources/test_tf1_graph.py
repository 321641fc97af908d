"""Frozen graphs of TensorFlow 1: inputs and outputs are found, training is cut off, defaults are kept."""

from __future__ import annotations

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="the converter needs TensorFlow")
pytest.importorskip("tf2onnx", reason="the converter needs tf2onnx")
pytest.importorskip("onnxruntime", reason="the tests run the graphs in it")

from kit.tf1graphs import conv, image, weights
from kit.tracing import operations

from cvsr.errors import ModelError
from cvsr_converters.facts import Facts
from cvsr_converters.original import Input
from cvsr_converters.sources import Options
from cvsr_converters.sources.tensorflow import frozen_graph

pytestmark = pytest.mark.training

v1 = tf.compat.v1


def test_matches_tells_graphs_from_other_files(tmp_path):
    for name, head, wanted in (
        ("a.pb", b"\x0a\x10", True),
        ("a.PB", b"\x0a\x10", True),
        ("a.pb", b"", True),
        ("a.pb", b"\x08\x01", False),
        ("saved_model.pb", b"\x0a\x10", False),
        ("a.onnx", b"\x0a\x10", False),
    ):
        (tmp_path / name).write_bytes(head)
        assert frozen_graph.matches(tmp_path / name) == wanted, name
    assert not frozen_graph.matches(tmp_path)


def test_output_in_channels_first_is_found_so(save):
    def build():
        y = tf.nn.depth_to_space(tf.nn.relu(conv(image(), 12)), 2)
        tf.transpose(y, (0, 3, 1, 2), name="NCHW_output")

    net = save(build)
    assert (net.inputs, net.outputs, net.facts) == ([Input("x", 1)], ["NCHW_output"], Facts(scale=2))
    assert net.run(np.zeros((1, 1, 10, 14), np.float32))[0].shape == (1, 3, 20, 28)
    assert operations(net) == ["Conv", "Relu", "DepthToSpace"]


def test_input_in_channels_first(save):
    def build():
        x = v1.placeholder(tf.float32, (None, 3, None, None), "x")
        tf.identity(conv(tf.transpose(x, (0, 2, 3, 1)), 3), name="y")

    net = save(build)
    assert net.inputs == [Input("x", 3)]
    assert operations(net) == ["Conv"]


def test_channels_that_the_placeholder_leaves_open_are_tried(save):
    def build():
        x = v1.placeholder(tf.float32, None, "x")
        tf.nn.conv2d(x, weights(3, 3, 3, 3), 1, "SAME", name="y")

    assert save(build).inputs == [Input("x", 3)]


def batch_norm(x, training):
    mean, variance = tf.cond(training, lambda: tf.nn.moments(x, (0, 1, 2)), lambda: (weights(4), weights(4) ** 2 + 0.1))
    return tf.nn.batch_normalization(x, mean, variance, weights(4), None, 1e-3)


def two_images():
    """A network like DCSCN: an image and its enlarged form, batch normalisation by tf.cond, dropout."""
    enlarged, x = image("x2"), image("x")
    training, keep = v1.placeholder(tf.bool, (), "is_training"), v1.placeholder(tf.float32, (), "dropout_keep")
    y = v1.nn.dropout(batch_norm(conv(x, 4), training), keep_prob=keep)
    y = tf.nn.depth_to_space(conv(tf.nn.relu(y), 9), 3)
    tf.add(y, enlarged, name="y_")


def test_two_images_a_condition_and_dropout(save):
    net = save(two_images)
    assert net.inputs == [Input("x", 1), Input("x2", 1, factor=3)]
    assert net.facts == Facts(scale=3)
    assert any("is_training was set to False" in note for note in net.notes)
    assert any("dropout_keep was set to 1.0" in note for note in net.notes)
    assert "Conv" in operations(net) and "If" not in operations(net)


def test_feeds_go_before_what_is_assumed(save):
    inference, training = save(two_images), save(two_images, Options(feeds={"is_training:0": True}))
    blobs = [np.random.default_rng(0).random((1, 1, n, n), np.float32) for n in (8, 24)]
    assert np.abs(inference.run(*blobs)[0] - training.run(*blobs)[0]).max() > 0.01
    with pytest.raises(ModelError, match=r"random numbers \('dropout.*keep_prob to 1"):
        save(two_images, Options(feeds={"dropout_keep": 0.5}))
    with pytest.raises(ModelError, match="do not need placeholder 'keep'; they need: dropout_keep, is_training, x, x2"):
        save(two_images, Options(feeds={"keep": 1}))
    with pytest.raises(ModelError, match="'is_training' cannot be 'no'"):
        save(two_images, Options(feeds={"is_training": "no"}))


def test_defaults_of_placeholders_are_kept(save):
    def build():
        phase = v1.placeholder_with_default(False, (), "keras_learning_phase")
        tf.identity(batch_norm(conv(image(), 4), phase), name="y")
        conv(tf.identity(image("unused")), 4)

    with pytest.raises(ModelError, match="reads 0 images"):
        save(build, Options(outputs=("keras_learning_phase",)))
    net = save(build, Options(outputs=("y",)))
    assert net.notes == ["placeholder keras_learning_phase keeps its default"]
    assert "Conv" in operations(net)


def several():
    y = conv(image(), 4)
    tf.nn.depth_to_space(y, 2, name="y2")
    tf.identity(tf.transpose(tf.nn.depth_to_space(y, 2), (0, 3, 1, 2)), name="y2_again")
    tf.identity(conv(y, 3), name="y1")
    tf.reduce_mean(y, name="mean")


def test_several_outputs(save):
    net = save(several)
    assert net.outputs == ["y1", "y2", "y2_again"]
    assert net.facts == Facts(scale=1)
    assert net.notes == [
        "output mean is not an image and was dropped",
        "the outputs differ in scale: y1 x1, y2 x2, y2_again x2",
    ]
    one = save(several, Options(outputs=("y2:0",)))
    assert (one.outputs, one.facts, one.notes) == (["y2"], Facts(scale=2), [])
    with pytest.raises(ModelError, match="no output 'y3'; the graph ends in: y2, y2_again, y1, mean"):
        save(several, Options(outputs=("y3",)))


def test_output_of_the_same_numbers_is_taken_once(save):
    def build():
        y = conv(image(), 1)
        tf.identity(y, name="y")
        tf.identity(y, name="y_twice")

    net = save(build)
    assert (net.outputs, net.notes) == (["y"], ["output y_twice is the same as y and was dropped"])


def test_families_of_dnn_superres_are_known_by_name(save):
    net = save(lambda: tf.nn.depth_to_space(conv(image(), 9), 3, name="y"), name="FSRCNN_x2.pb")
    wanted = Facts(color="luma", range=1.0, chroma="dnn_superres", scale=3)
    assert net.facts == wanted, "the scale comes from the graph"
