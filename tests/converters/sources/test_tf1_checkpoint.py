"""Checkpoints of TensorFlow 1's Saver: the network is found among what trained it, and nothing else runs."""

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
from cvsr_converters.sources.tensorflow import checkpoint1

pytestmark = pytest.mark.training

v1 = tf.compat.v1


def conv(x, filters, name, resource=False):
    with v1.variable_scope(name, use_resource=resource):
        shape = (3, 3, x.shape[3], filters)
        kernel = v1.get_variable("kernel", shape, initializer=v1.random_normal_initializer(stddev=0.3, seed=1))
        bias = v1.get_variable("bias", (filters,), initializer=v1.random_normal_initializer(seed=2))
        return tf.nn.bias_add(tf.nn.conv2d(x, kernel, 1, "SAME"), bias)


def placeholders():
    return (v1.placeholder(tf.float32, (None, None, None, 1), name) for name in ("x", "y"))


def network(x, resource=False, name="output"):
    y = conv(tf.nn.relu(conv(x, 4, "first", resource)), 4, "last", resource)
    return tf.nn.depth_to_space(y, 2, name=name)


def train(result, label):
    """Add all that training brings: a loss, an optimizer with slots, summaries, a metric."""
    loss = tf.reduce_mean(tf.square(tf.subtract(label, result)), name="cost")
    with v1.control_dependencies([v1.summary.scalar("psnr", -tf.math.log(loss)), v1.summary.image("out", result)]):
        v1.train.AdamOptimizer(1e-3).minimize(loss)


def simple(resource=False):
    x, label = placeholders()
    result = network(x, resource)
    train(result, label)
    return x, result


@pytest.fixture
def save(tmp_path):
    """Give a function that trains nothing, but saves what another builds; returns (prefix, an image, its result)."""

    def write(build, feeds=()):
        v1.disable_control_flow_v2()
        try:
            with tf.Graph().as_default(), v1.Session() as session:
                x, result = build()
                session.run(v1.global_variables_initializer())
                image = np.random.default_rng(0).random((1, 12, 10, 1), np.float32)
                wanted = session.run(result, {x: image, **dict(feeds)})
                v1.train.Saver().save(session, str(tmp_path / "net.ckpt"), global_step=7)
        finally:
            v1.enable_control_flow_v2()
        return tmp_path / "net.ckpt-7", image.transpose(0, 3, 1, 2), wanted.transpose(0, 3, 1, 2)

    return write


def gated():
    """A network with dropout and batch normalisation that updates its averages in training."""
    x, label = placeholders()
    keep, training = v1.placeholder(tf.float32, (), "keep"), v1.placeholder(tf.bool, (), "train")
    y = conv(x, 4, "first")
    average = v1.get_variable("average", (4,), initializer=v1.random_normal_initializer(seed=3))

    def of_batch():
        mean = tf.reduce_mean(y, (0, 1, 2))
        with tf.control_dependencies([v1.assign(average, 0.9 * average + 0.1 * mean)]):
            return tf.identity(mean)

    y = v1.nn.dropout(y - tf.cond(training, of_batch, lambda: tf.identity(average)), keep_prob=keep)
    result = tf.nn.depth_to_space(conv(y, 4, "last"), 2, name="output")
    train(result, label)
    return x, result


@pytest.mark.parametrize("build", [simple, lambda: simple(resource=True), gated], ids=["simple", "resource", "gated"])
def test_the_network_is_found_in_the_graph_of_training(save, build):
    prefix, image, wanted = save(build, {"keep:0": 1, "train:0": False} if build is gated else {})
    net = checkpoint1.read(prefix, Options())
    assert (net.inputs, net.outputs, net.facts) == ([Input("x", 1)], ["output"], Facts(scale=2))
    assert "output is assumed to be the output" in net.notes
    np.testing.assert_allclose(net.run(image)[0], wanted, atol=1e-5)
    assert "DepthToSpace" in operations(net)


def test_all_forms_of_the_path(save, tmp_path):
    prefix, image, wanted = save(simple)
    assert not checkpoint1.matches(tmp_path / "other")
    for path in (prefix, tmp_path, *tmp_path.glob(f"{prefix.name}.*")):
        assert checkpoint1.matches(path)
        np.testing.assert_allclose(checkpoint1.read(path, Options()).run(image)[0], wanted, atol=1e-5)


def test_the_folder_takes_what_its_checkpoint_file_names(save, tmp_path):
    save(simple)
    for name in ("net.ckpt-12", "net.ckpt-9"):
        (tmp_path / f"{name}.meta").write_bytes(b"")
    assert checkpoint1._prefix(tmp_path).name == "net.ckpt-7"
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "/elsewhere/net.ckpt-9"\n')
    assert checkpoint1._prefix(tmp_path).name == "net.ckpt-9"
    (tmp_path / "checkpoint").unlink()
    assert checkpoint1._prefix(tmp_path).name == "net.ckpt-12"


def test_iterators_become_inputs(save):
    def build():
        pairs = np.zeros((1, 12, 10, 1), np.float32), np.zeros((1, 24, 20, 1), np.float32)
        x, label = v1.data.make_one_shot_iterator(tf.data.Dataset.from_tensors(pairs).repeat()).get_next()
        result = network(x)
        train(result, label)
        return x, result

    prefix, image, wanted = save(build)
    net = checkpoint1.read(prefix, Options())
    assert net.inputs == [Input("IteratorGetNext/output0", 1)]
    np.testing.assert_allclose(net.run(image)[0], wanted, atol=1e-5)


def test_the_enlarged_image_is_an_input_and_the_label_is_not(save):
    def build():
        enlarged = v1.placeholder(tf.float32, (None, None, None, 1), "x2")
        x, label = placeholders()
        result = tf.add(network(x, name="residual"), enlarged, name="output")
        train(result, label)
        return x, result

    large = np.random.default_rng(1).random((1, 24, 20, 1), np.float32)
    prefix, image, wanted = save(build, {"x2:0": large})
    net = checkpoint1.read(prefix, Options())
    assert (net.inputs, net.outputs) == ([Input("x", 1), Input("x2", 1, factor=2)], ["output"])
    np.testing.assert_allclose(net.run(image, large.transpose(0, 3, 1, 2))[0], wanted, atol=1e-5)


def test_several_candidates_are_listed_and_one_can_be_named(save):
    def build():
        x, label = placeholders()
        result = network(x)
        tf.identity(conv(x, 1, "other"), name="second")
        train(result, label)
        return x, tf.identity(result, name="first_output")

    prefix, image, wanted = save(build)
    with pytest.raises(ModelError, match=r"may end in any of these: .*second.*first_output.*outputs"):
        checkpoint1.read(prefix, Options())
    net = checkpoint1.read(prefix, Options(outputs=("first_output",)))
    np.testing.assert_allclose(net.run(image)[0], wanted, atol=1e-5)
    with pytest.raises(ModelError, match="no node 'first_outptu'"):
        checkpoint1.read(prefix, Options(outputs=("first_outptu",)))


def test_variables_that_were_not_saved_are_named(save):
    prefix, _, _ = save(simple)
    with tf.Graph().as_default(), v1.Session() as session:
        simple()
        session.run(v1.global_variables_initializer())
        v1.train.Saver([v for v in v1.global_variables() if "last" not in v.name]).save(session, str(prefix))
    with pytest.raises(ModelError, match="no value for the variable 'last/kernel'"):
        checkpoint1.read(prefix, Options(outputs=("output",)))


def test_names_in_the_checkpoint_are_the_savers(save):
    """A Saver may give variables other names: moving averages are restored in the place of weights in this way."""

    prefix, image, _ = save(simple)
    with tf.Graph().as_default(), v1.Session() as session:
        x, result = simple()
        session.run(v1.global_variables_initializer())
        v1.train.Saver({f"ema/{v.op.name}": v for v in v1.trainable_variables()}).save(session, str(prefix))
        wanted = session.run(result, {x: image.transpose(0, 2, 3, 1)})
    np.testing.assert_allclose(
        checkpoint1.read(prefix, Options()).run(image)[0], wanted.transpose(0, 3, 1, 2), atol=1e-5
    )


def test_broken_checkpoints_are_refused(save):
    prefix, _, _ = save(simple)
    meta, index, data = (next(prefix.parent.glob(f"{prefix.name}.{part}*")) for part in ("meta", "index", "data"))
    whole = {file: file.read_bytes() for file in (meta, index, data)}
    for file, length, message in (
        (meta, 1000, "truncated or broken"),
        (meta, 0, "no output"),
        (index, 200, "truncated"),
        (data, 40, "data file has 40"),
    ):
        file.write_bytes(whole[file][:length])
        with pytest.raises(ModelError, match=message):
            checkpoint1.read(prefix, Options())
        file.write_bytes(whole[file])
    for file, message in ((data, "data-00000-of-00001"), (index, r"net\.ckpt-7\.index.* is missing")):
        file.unlink()
        with pytest.raises(ModelError, match=message):
            checkpoint1.read(prefix, Options())


def test_files_of_two_networks_are_told_apart(save):
    def wider():
        x, label = placeholders()
        result = tf.nn.depth_to_space(conv(tf.nn.relu(conv(x, 5, "first")), 4, "last"), 2, name="output")
        train(result, label)
        return x, result

    prefix, _, _ = save(simple)
    meta = prefix.with_name(f"{prefix.name}.meta")
    kept = meta.read_bytes()
    save(wider)
    meta.write_bytes(kept)
    with pytest.raises(ModelError, match=r"'first/kernel' is \[3, 3, 1, 4\].*\[3, 3, 1, 5\].*not belong together"):
        checkpoint1.read(prefix, Options())


def test_python_in_the_graph_of_training_is_left_out(save):
    called = []

    def build():
        x, label = placeholders()
        result = network(x)
        v1.py_func(called.append, [tf.reduce_mean(result)], [], name="log")
        train(result, label)
        return x, result

    prefix, _, _ = save(build)
    assert checkpoint1.read(prefix, Options()).outputs == ["output"]
    assert called == []


@pytest.mark.parametrize("scale", [2, 3])
def test_checkpoints_behind_the_files_of_dnn_superres(data_root, scale):
    folder = data_root / "models" / "tf1_checkpoint_fsrcnn" / f"x{scale}"
    if not folder.is_dir():
        pytest.skip("CVSR_DATA has no models/tf1_checkpoint_fsrcnn")
    net = checkpoint1.read(folder, Options())
    assert (net.outputs, net.facts) == (["NCHW_output"], Facts(scale=scale))
    from cvsr_converters.sources.tensorflow import frozen_graph

    frozen = frozen_graph.read(data_root / "models" / "dnn_superres_pb" / f"FSRCNN_x{scale}.pb", Options())
    image = np.random.default_rng(0).random((1, 1, 20, 26), np.float32)
    np.testing.assert_array_equal(net.run(image)[0], frozen.run(image)[0])
    assert operations(net) == [*["Conv", "PRelu"] * 7, "Conv", "DepthToSpace"]
