"""Frozen graphs of TensorFlow 1 that are unsafe, broken or bound to one size are refused, with the reason."""

import pytest

tf = pytest.importorskip("tensorflow", reason="the converter needs TensorFlow")
pytest.importorskip("tf2onnx", reason="the converter needs tf2onnx")
pytest.importorskip("onnxruntime", reason="the tests run the graphs in it")

from kit.tf1graphs import conv, image, weights

from cvsr.errors import ModelError
from cvsr_converters.sources import Options
from cvsr_converters.sources.tensorflow import frozen_graph

pytestmark = pytest.mark.training

v1 = tf.compat.v1


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

    with pytest.raises(ModelError, match=r"does not run on an image of 32x48.*\n.*dynamic height and width"):
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

    for change, message in ((larger, "but has 36 bytes"), (filled, "far larger"), (negative, "not a valid constant")):
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
