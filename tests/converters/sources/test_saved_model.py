"""SavedModels: their signatures, layouts and sizes, and a look through the graph before it runs."""

from __future__ import annotations

import functools

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="the converter needs TensorFlow")
pytest.importorskip("tf2onnx", reason="the converter needs tf2onnx")

import keras

from cvsr.errors import ModelError
from cvsr_converters.conversion.trace import trace
from cvsr_converters.facts import Facts
from cvsr_converters.sources import Options
from cvsr_converters.sources.tensorflow import saved_model

pytestmark = pytest.mark.training

random = np.random.default_rng(0)
KERNEL = random.normal(0, 0.2, (3, 3, 3, 12)).astype(np.float32)
image = random.random((1, 3, 10, 14)).astype(np.float32)
NHWC = tf.TensorSpec((None, None, None, 3), tf.float32, name="image")


def enlarge(x, kernel=KERNEL):
    return tf.nn.depth_to_space(tf.nn.conv2d(x, kernel, 1, "SAME"), 2)


wanted = np.asarray(enlarge(image.transpose(0, 2, 3, 1))).transpose(0, 3, 1, 2)


def called(function, module, *arguments):
    return function(module.kernel, *arguments)


def save(folder, *specs, signature="serving_default", **functions):
    """Save a module with a variable, and functions of (kernel, *arguments) as signatures; return the folder."""
    module = tf.Module()
    module.kernel = tf.Variable(KERNEL)
    made = {}
    for name, function in functions.items():
        call = tf.function(functools.partial(called, function, module), input_signature=specs)
        setattr(module, name, call)
        made[name if len(functions) > 1 else signature] = call
    tf.saved_model.save(module, str(folder), signatures=made)
    return folder


def test_a_signature_gives_its_numbers_at_any_size(tmp_path):
    net = saved_model.read(save(tmp_path / "net", NHWC, f=lambda k, x: {"large": enlarge(x, k)}), Options())
    assert (net.name, net.inputs[0].channels, net.outputs, net.facts) == ("net", 3, ["large"], Facts())
    np.testing.assert_allclose(net.run(image)[0], wanted, atol=1e-5)
    assert [node.op_type for node in trace(net).graph.node] == ["Conv", "DepthToSpace"]


def test_the_pb_in_the_folder_stands_for_the_folder(tmp_path):
    folder = save(tmp_path / "net", NHWC, f=lambda k, x: enlarge(x, k))
    assert saved_model.matches(folder)
    assert saved_model.matches(folder / "saved_model.pb")
    assert not saved_model.matches(tmp_path)
    assert saved_model.read(folder / "saved_model.pb", Options()).name == "net"


def test_one_of_several_signatures_must_be_named(tmp_path):
    folder = save(tmp_path / "net", NHWC, f=lambda k, x: enlarge(x, k), g=lambda k, x: x)
    with pytest.raises(ModelError, match=r"several signatures.*--signature.*f, g"):
        saved_model.read(folder, Options())
    with pytest.raises(ModelError, match=r"no signature 'h'; available: f, g"):
        saved_model.read(folder, Options(signature="h"))
    np.testing.assert_allclose(saved_model.read(folder, Options(signature="g")).run(image)[0], image)


def test_without_signatures_the_function_of_the_freest_image_is_taken(tmp_path):
    class Module(tf.Module):
        @tf.function
        def __call__(self, x, training=False):
            return x if training else enlarge(x)

    module = Module()
    for shape in ((1, 8, 8, 3), (None, None, None, 3)):
        module.__call__.get_concrete_function(tf.TensorSpec(shape), training=False)
    tf.saved_model.save(module, str(tmp_path))
    net = saved_model.read(tmp_path, Options())
    assert net.notes == ["it has no signatures; using its function __call__"]
    np.testing.assert_allclose(net.run(image)[0], wanted, atol=1e-5)


def test_a_fixed_size_is_made_free(tmp_path):
    spec = tf.TensorSpec((1, 24, 32, 3), tf.float32, name="image")
    net = saved_model.read(save(tmp_path, spec, f=lambda k, x: enlarge(x, k)), Options())
    assert "24x32" in net.notes[0]
    np.testing.assert_allclose(net.run(image)[0], wanted, atol=1e-5)
    assert trace(net).graph.node


def test_a_size_that_is_baked_in_is_refused(tmp_path):
    spec = tf.TensorSpec((1, 24, 32, 3), tf.float32, name="image")
    save(tmp_path, spec, f=lambda k, x: enlarge(x, k) + tf.image.resize(x, (48, 64)))
    with pytest.raises(ModelError, match="24x32 only and does not run on one of 16x24"):
        saved_model.read(tmp_path, Options())


def test_channels_first_is_seen_from_the_shape(tmp_path):
    spec = tf.TensorSpec((1, 3, None, None), tf.float32, name="image")

    def turned(k, x):
        return tf.transpose(enlarge(tf.transpose(x, (0, 2, 3, 1)), k), (0, 3, 1, 2))

    net = saved_model.read(save(tmp_path, spec, f=turned), Options())
    np.testing.assert_allclose(net.run(image)[0], wanted, atol=1e-5)
    assert trace(net).graph.node


def test_images_of_three_axes_and_whole_numbers(tmp_path):
    spec = tf.TensorSpec((None, None, 3), tf.uint8, name="image")

    def bytes_out(k, x):
        large = enlarge(tf.cast(tf.expand_dims(x, 0), tf.float32), k)
        return tf.squeeze(tf.cast(tf.clip_by_value(large, 0, 255), tf.uint8), 0)

    net = saved_model.read(save(tmp_path, spec, f=bytes_out), Options())
    assert net.facts == Facts(range=255)
    assert "uint8" in net.notes[0]
    np.testing.assert_allclose(net.run(image * 255)[0], np.clip(wanted * 255, 0, 255), atol=1e-3)
    assert "Cast" not in [node.op_type for node in trace(net).graph.node]


def test_other_inputs_need_values_and_outputs_have_names(tmp_path):
    gain = tf.TensorSpec((), tf.float32, name="gain")
    folder = save(tmp_path, NHWC, gain, f=lambda k, x, g: {"a": enlarge(x, k) * g, "b": x, "mean": tf.reduce_mean(x)})
    with pytest.raises(ModelError, match=r"inputs are (image, gain|gain, image).*--feed"):
        saved_model.read(folder, Options())
    net = saved_model.read(folder, Options(feeds={"gain": 2.0}))
    assert net.outputs == ["a", "b"]
    net = saved_model.read(folder, Options(feeds={"gain": 2.0}, outputs=("a",)))
    np.testing.assert_allclose(net.run(image)[0], 2 * wanted, atol=1e-5)
    with pytest.raises(ModelError, match=r"no output 'c'; available: a, b, mean"):
        saved_model.read(folder, Options(feeds={"gain": 2.0}, outputs=("c",)))


def test_an_input_that_is_not_an_image_is_refused(tmp_path):
    spec = tf.TensorSpec((None, 7), tf.float32, name="row")
    with pytest.raises(ModelError, match=r"'row' has the shape \(None, 7\), not that of an image"):
        saved_model.read(save(tmp_path, spec, f=lambda k, x: x), Options())


def test_what_keras_exports(tmp_path):
    x = keras.Input((None, None, 3))
    model = keras.Model(x, keras.layers.Conv2D(3, 3, padding="same")(x))
    model.export(str(tmp_path), verbose=False)
    net = saved_model.read(tmp_path, Options())
    np.testing.assert_allclose(
        net.run(image)[0], np.asarray(model(image.transpose(0, 2, 3, 1))).transpose(0, 3, 1, 2), atol=1e-6
    )


def save_v1(folder, resource, extra=lambda x: x):
    """Save a model as TensorFlow 1 does."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, (None, None, None, 3), name="small")
        kernel = v1.get_variable("kernel", initializer=KERNEL, use_resource=resource)
        y = extra(enlarge(x, kernel))
        session.run(v1.global_variables_initializer())
        v1.saved_model.simple_save(session, str(folder), {"small": x}, {"large": y})
    return folder


@pytest.mark.parametrize("resource", [True, False])
def test_models_of_tensorflow_1_and_both_kinds_of_their_variables(tmp_path, resource):
    net = saved_model.read(save_v1(tmp_path / "net", resource), Options())
    assert (net.inputs[0].name, net.outputs) == ("small", ["large"])
    np.testing.assert_allclose(net.run(image)[0], wanted, atol=1e-5)
    assert [node.op_type for node in trace(net).graph.node] == ["Conv", "DepthToSpace"]


def test_models_of_tensorflow_1_are_looked_through_too(tmp_path):
    folder = save_v1(tmp_path / "net", True, lambda y: writing(KERNEL, y[..., :3]))
    with pytest.raises(ModelError, match="the operation WriteFile"):
        saved_model.read(folder, Options())


def reading(k, x):
    return enlarge(x, k) + tf.strings.to_number(tf.io.read_file("/nowhere"))


def writing(k, x):
    with tf.control_dependencies([tf.io.write_file("written", "x")]):
        return enlarge(x, k)


def calling(k, x):
    return tf.numpy_function(lambda v: v, [x], tf.float32, stateful=False)


@pytest.mark.parametrize(
    ("function", "op"), [(reading, "ReadFile"), (writing, "WriteFile"), (calling, "PyFuncStateless")]
)
def test_operations_that_do_more_than_compute_are_refused_before_anything_is_loaded(
    tmp_path, monkeypatch, function, op
):
    folder = save(tmp_path / "net", NHWC, f=lambda k, x: tf.ensure_shape(function(k, x), (None, None, None, None)))
    monkeypatch.setattr(tf.saved_model, "load", None)
    with pytest.raises(ModelError, match=rf"the operation {op} \(.*(.|\n)*not run(.|\n)*--trust"):
        saved_model.read(folder, Options())
    with pytest.raises(ModelError, match="cannot load"):  # trusted, it gets as far as to be loaded
        saved_model.read(folder, Options(trust=True))


def test_the_saver_of_every_model_is_no_danger_unless_an_object_calls_it(tmp_path):
    folder = save(tmp_path / "net", NHWC, f=lambda k, x: enlarge(x, k))
    data = (folder / "saved_model.pb").read_bytes()
    from tensorflow.core.protobuf import saved_model_pb2

    model = saved_model_pb2.SavedModel.FromString(data)
    functions = model.meta_graphs[0].graph_def.library.function
    savers = [f.signature.name for f in functions if any(node.op == "SaveV2" for node in f.node_def)]
    assert savers
    saved_model.read(folder, Options())
    model.meta_graphs[0].object_graph_def.concrete_functions[savers[0]].SetInParent()
    (folder / "saved_model.pb").write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=r"the operation SaveV2"):
        saved_model.read(folder, Options())


def test_broken_and_cut_models_are_refused(tmp_path):
    folder = save(tmp_path / "net", NHWC, f=lambda k, x: enlarge(x, k))
    pb, data = folder / "saved_model.pb", folder / "variables" / "variables.data-00000-of-00001"
    whole = data.read_bytes()
    data.write_bytes(whole[:100])
    with pytest.raises(ModelError, match=r"variables need \d+ bytes.*the data file has 100"):
        saved_model.read(folder, Options())
    data.unlink()
    with pytest.raises(ModelError, match=r"variables\.data-\S+ is missing"):
        saved_model.read(folder, Options())
    data.write_bytes(whole)
    content = pb.read_bytes()
    for broken in (b"", b"\xff" * 20, content[: len(content) // 2]):
        pb.write_bytes(broken)
        with pytest.raises(ModelError, match=r"truncated or broken|empty or broken"):
            saved_model.read(folder, Options())


def test_srcnn_of_others(data_root):
    for folder in (data_root / "models" / "saved_model_srcnn").iterdir():
        if folder.is_dir():
            net = saved_model.read(folder, Options())
            assert net.run(random.random((1, 3, 40, 44)).astype(np.float32))[0].shape[1] == 3


def test_an_optimizer_that_only_keras_2_knows_is_left_out(tmp_path):
    """As Keras 2 saved a model in training: an object that owns slots, which are variables beside the network's."""
    from tensorflow.core.protobuf import saved_model_pb2

    class Net(tf.Module):
        def __init__(self):
            super().__init__()
            self.kernel = tf.Variable(tf.random.normal((3, 3, 3, 3)))
            self.optimizer = tf.Module()
            self.optimizer.momentum = tf.Variable(tf.zeros((3, 3, 3, 3)))

        @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3))])
        def __call__(self, x):
            return tf.nn.conv2d(x, self.kernel, 1, "SAME")

    net = Net()
    tf.saved_model.save(net, str(tmp_path), signatures=net.__call__)
    saved = saved_model_pb2.SavedModel.FromString((tmp_path / "saved_model.pb").read_bytes())
    nodes = saved.meta_graphs[0].object_graph_def.nodes
    names = {child.local_name: child.node_id for child in nodes[0].children}
    owner = nodes[names["optimizer"]]
    (momentum,) = (child.node_id for child in owner.children)
    owner.slot_variables.add(
        original_variable_node_id=names["kernel"], slot_name="m", slot_variable_node_id=momentum
    )  # fmt: skip
    before = saved.SerializeToString()
    (tmp_path / "saved_model.pb").write_bytes(before)
    with pytest.raises(Exception, match="add_slot"):
        tf.saved_model.load(str(tmp_path))
    found = saved_model.read(tmp_path, Options())
    x = np.random.default_rng(0).random((1, 3, 9, 8)).astype(np.float32)
    wanted = net(x.transpose(0, 2, 3, 1)).numpy().transpose(0, 3, 1, 2)
    np.testing.assert_allclose(found.run(x)[0], wanted, atol=1e-5)
    assert (tmp_path / "saved_model.pb").read_bytes() == before
