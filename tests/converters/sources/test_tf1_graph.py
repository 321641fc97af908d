"""Frozen graphs of TensorFlow 1: inputs and outputs are found, training is cut off, what is not safe is refused."""

from __future__ import annotations

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="the converter needs TensorFlow")
pytest.importorskip("tf2onnx", reason="the converter needs tf2onnx")
pytest.importorskip("onnxruntime", reason="the tests run the graphs in it")

from kit.tracing import operations

from cvsr.errors import ModelError
from cvsr_converters.facts import Facts
from cvsr_converters.original import Input
from cvsr_converters.sources import Options
from cvsr_converters.sources.tensorflow import frozen_graph

pytestmark = pytest.mark.training

v1 = tf.compat.v1


def weights(*shape):
    return tf.constant(np.random.default_rng(sum(shape)).normal(0, 0.3, shape).astype(np.float32))


def image(name="x", channels=1):
    return v1.placeholder(tf.float32, (None, None, None, channels), name)


def conv(x, filters, size=3):
    return tf.nn.conv2d(x, weights(size, size, x.shape[3], filters), 1, "SAME")


@pytest.fixture
def save(tmp_path):
    """Give a function that writes the graph that another builds, and reads it."""

    def write(build, options=None, change=None, name="net.pb"):
        v1.disable_control_flow_v2()
        try:
            with tf.Graph().as_default() as graph:
                build()
        finally:
            v1.enable_control_flow_v2()
        graph_def = graph.as_graph_def()
        if change:
            change(graph_def)
        path = tmp_path / name
        path.write_bytes(graph_def.SerializeToString())
        assert frozen_graph.matches(path)
        return frozen_graph.read(path, options or Options())

    return write


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
    with pytest.raises(ModelError, match="need no placeholder 'keep'; they need: dropout_keep, is_training, x, x2"):
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
        "output mean is no image and was dropped",
        "outputs of several scales: y1 x1, y2 x2, y2_again x2",
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


def test_nothing_outside_of_the_graph_is_touched(save, tmp_path):
    target = tmp_path / "written"

    def writes():
        with tf.control_dependencies([tf.io.write_file(str(target), "x")]):
            text = tf.io.read_file(str(tmp_path / "net.pb"))
        tf.identity(conv(image(), 1) + tf.cast(tf.strings.length(text), tf.float32), name="y")

    def calls():
        v1.py_func(lambda x: x, [conv(image(), 1)], tf.float32, name="y")

    with pytest.raises(ModelError, match="ReadFile"):
        save(writes)
    assert not target.exists()
    with pytest.raises(ModelError, match="PyFunc"):
        save(calls)
    assert save(calls, Options(trust=True)).outputs == ["y"]


def test_what_outputs_do_not_need_is_not_looked_at(save):
    def build():
        y = tf.identity(conv(image(), 1), name="y")
        v1.py_func(lambda x: x, [y], tf.float32, name="log")

    with pytest.raises(ModelError, match="PyFunc"):
        save(build)
    assert save(build, Options(outputs=("y",))).outputs == ["y"]


def test_loops_are_refused_by_name(save):
    def build():
        y = tf.while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, conv(y, 1)), (0, image()))[1]
        tf.identity(y, name="y")

    with pytest.raises(ModelError, match=r"node 'while.*loop"):
        save(build)


def test_condition_on_the_image_is_refused(save):
    def build():
        x = image()
        tf.identity(tf.cond(tf.reduce_mean(x) > 0, lambda: conv(x, 1), lambda: x), name="y")

    with pytest.raises(ModelError, match="depends on the placeholder 'x'"):
        save(build)


def test_placeholder_of_unknown_use_is_refused_by_name(save):
    def build():
        tf.multiply(conv(image(), 1), tf.cast(v1.placeholder(tf.int32, (), "iterations"), tf.float32), name="y")

    with pytest.raises(ModelError, match=r"'iterations' \(int32\).*feeds=\{'iterations': 0\}"):
        save(build)
    assert save(build, Options(feeds={"iterations": 2})).outputs == ["y"]


def test_size_that_is_fixed_is_refused(save):
    def build():
        tf.nn.conv2d_transpose(image(), weights(3, 3, 1, 1), (1, 64, 64, 1), 2, name="y")

    with pytest.raises(ModelError, match=r"does not run on an image of 32x48.*\n.*heights and widths left open"):
        save(build)


def plain():
    tf.identity(conv(image(), 1), name="y")


def test_broken_files_are_refused(save, tmp_path):
    net = save(plain)
    data = (tmp_path / "net.pb").read_bytes()
    assert net.outputs == ["y"]
    broken = tmp_path / "broken.pb"
    for cut in range(1, len(data), 37):
        broken.write_bytes(data[:cut])
        with pytest.raises(ModelError):
            frozen_graph.read(broken, Options())
    broken.write_bytes(b"\x0a" + b"\xff" * 9)
    with pytest.raises(ModelError, match="truncated or not a model"):
        frozen_graph.read(broken, Options())


def node(graph_def, op):
    return next(node for node in graph_def.node if node.op == op)


def test_constants_that_lie_are_refused(save):
    def larger(graph_def):
        node(graph_def, "Const").attr["value"].tensor.tensor_shape.dim[0].size = 1 << 20

    def filled(graph_def):
        tensor = node(graph_def, "Const").attr["value"].tensor
        tensor.tensor_content = b""
        tensor.float_val.append(1)
        tensor.tensor_shape.dim[0].size = 1 << 40

    def negative(graph_def):
        node(graph_def, "Const").attr["value"].tensor.tensor_shape.dim[0].size = -5

    for change, message in ((larger, "but holds 36 bytes"), (filled, "far larger"), (negative, "no valid constant")):
        with pytest.raises(ModelError, match=message):
            save(plain, change=change)


def test_graphs_that_do_not_hold_together_are_refused(save):
    def missing(graph_def):
        node(graph_def, "Conv2D").input[1] = "nowhere"

    def unknown(graph_def):
        node(graph_def, "Conv2D").op = "MyConv"

    def circle(graph_def):
        node(graph_def, "Conv2D").input[0] = "y"

    for change, message in (
        (missing, "no node 'nowhere', which Conv2D needs"),
        (unknown, "MyConv"),
        (circle, "no output"),
    ):
        with pytest.raises(ModelError, match=message):
            save(plain, change=change)


FILES = [("ESPCN_x2", 2), ("FSRCNN-small_x4", 4), ("FSRCNN_x3", 3), ("LapSRN_x4", 4)]


@pytest.mark.parametrize(("name", "scale"), FILES)
def test_files_of_dnn_superres(data_root, name, scale):
    path = data_root / "models" / "dnn_superres_pb" / f"{name}.pb"
    if not path.is_file():
        pytest.skip("CVSR_DATA has no models/dnn_superres_pb")
    net = frozen_graph.read(path, Options())
    assert net.facts == Facts(color="luma", range=1.0, chroma="dnn_superres", scale=scale)
    assert net.outputs[0] == "NCHW_output"
    assert set(operations(net)) <= {"Conv", "Relu", "PRelu", "LeakyRelu", "Tanh", "Add", "DepthToSpace"}
