"""HDF5 of Keras 2 and 3: whole models and weights, at any size of image; broken and lying files are refused."""

from __future__ import annotations

import io
import json
import struct

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="the converter needs TensorFlow")
h5py = pytest.importorskip("h5py", reason="TensorFlow brings it")
pytest.importorskip("tf2onnx", reason="the converter needs tf2onnx")

import keras

from cvsr.errors import ModelError
from cvsr_converters import networks
from cvsr_converters.conversion.trace import trace
from cvsr_converters.facts import Facts
from cvsr_converters.sources import Options
from cvsr_converters.sources.keras import hdf5, hdf5_file

pytestmark = pytest.mark.training

random = np.random.default_rng(0)
image = random.random((1, 3, 10, 14)).astype(np.float32)


def randomised(model):
    model.set_weights([random.normal(0, 0.2, w.shape).astype(np.float32) for w in model.get_weights()])
    return model


def nchw(tensor):
    return np.asarray(tensor).transpose(0, 3, 1, 2)


@pytest.fixture(scope="module")
def model():
    """A model of Keras 3 with keras.ops, a branch and a model inside, fixed to 24x32."""
    x = keras.Input((24, 32, 3), name="image")
    y = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    y = keras.ops.concatenate([y * 0.5, keras.layers.Conv2D(3, 1)(x)], axis=-1)
    inner = keras.Sequential([keras.Input((None, None, 7)), keras.layers.Conv2D(3, 3, padding="same")], name="inner")
    return randomised(keras.Model(x, keras.ops.clip(inner(y), 0.0, 1.0)))


def free(model):
    """The same function of any size."""
    x = keras.Input((None, None, 3))
    return keras.models.clone_model(model, input_tensors=x)


def test_a_whole_model_of_keras_3_takes_any_size(model, tmp_path):
    model.save(tmp_path / "whole.h5")
    net = hdf5.read(tmp_path / "whole.h5", Options())
    assert (net.name, net.inputs[0].channels) == ("whole", 3)
    assert "24x32" in net.notes[0]
    x = random.random((1, 24, 32, 3)).astype(np.float32)
    np.testing.assert_array_equal(net.run(nchw(x))[0], nchw(model(x)))
    assert net.run(image)[0].shape == (1, 3, 10, 14)
    assert "Conv" in [node.op_type for node in trace(net).graph.node]


# What Keras 2 writes: (class, options, calls), with weights for the layers that have some.
KERAS_2 = [
    ("InputLayer", {"name": "image", "batch_input_shape": [None, 24, 32, 3]}, []),
    ("Conv2D", {"name": "a", "filters": 4, "kernel_size": [3, 3], "padding": "same", "groups": 1},
     [["image", 0, 0, {}]]),
    ("TFOpLambda", {"name": "half", "function": "math.multiply"}, ["a", 0, 0, {"y": 0.5, "name": None}]),
    ("TFOpLambda", {"name": "flip", "function": "math.subtract"}, ["_CONSTANT_VALUE", -1, 1.0, {"y": ["half", 0, 0]}]),
    ("BatchNormalization", {"name": "b", "axis": [3]}, [["flip", 0, 0, {}]]),
    ("TFOpLambda", {"name": "join", "function": "concat"}, [["b", 0, 0, {"axis": -1}], ["a", 0, 0, {"axis": -1}]]),
    ("TensorFlowOpLayer", {"name": "shuffle", "constants": {}, "node_def": {
        "name": "shuffle", "op": "DepthToSpace", "input": ["join"],
        "attr": {"T": {"type": "DT_FLOAT"}, "block_size": {"i": "2"}, "data_format": {"s": "TkhXQw=="}},
    }}, [["join", 0, 0, {}]]),
    ("TensorFlowOpLayer", {"name": "scale", "constants": {"1": [2.0, 3.0]}, "node_def": {
        "name": "scale", "op": "Mul", "input": ["shuffle", "scale/y"], "attr": {"T": {"type": "DT_FLOAT"}},
    }}, [["shuffle", 0, 0, {}]]),
    ("Conv2DTranspose", {"name": "c", "filters": 3, "kernel_size": [3, 3], "strides": [1, 1], "padding": "same",
                         "groups": 1, "output_padding": None}, [["scale", 0, 0, {}]]),
    ("Sequential", {"name": "d", "layers": [
        {"class_name": "InputLayer", "config": {"name": "i", "batch_input_shape": [None, None, None, 3]}},
        {"class_name": "LeakyReLU", "config": {"name": "leaky", "alpha": 0.1}},
    ]}, [["c", 0, 0, {}]]),
    ("SlicingOpLambda", {"name": "e", "function": "__operators__.getitem"},
     ["d", 1, 0, {"slice_spec": [{"class_name": "__ellipsis__"}, {"start": None, "stop": 2, "step": None}]}]),
]  # fmt: skip
SHAPES = {"a": [("kernel:0", (3, 3, 3, 4)), ("bias:0", (4,))],
          "b": [(f"{n}:0", (4,)) for n in ("gamma", "beta", "moving_mean", "moving_variance")],
          "c": [("kernel:0", (3, 3, 3, 2)), ("bias:0", (3,))]}  # fmt: skip


def keras_2(path, layers=KERAS_2, shapes=SHAPES, output=("e", 0, 0)):
    """Write an HDF5 file as Keras 2 does; return its weights by layer."""
    entries = [
        {"class_name": kind, "name": options["name"], "config": options, "inbound_nodes": [call] if call else []}
        for kind, options, call in layers
    ]
    config = {"name": "net", "layers": entries, "input_layers": [["image", 0, 0]], "output_layers": [list(output)]}
    made = {}
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Functional", "config": config})
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [options["name"].encode() for _, options, _ in layers]
        for _, options, _ in layers:
            inside = group.create_group(options["name"])
            listed = shapes.get(options["name"], [])
            inside.attrs["weight_names"] = [name.encode() for name, _ in listed]
            made[options["name"]] = [random.random(shape).astype(np.float32) for _, shape in listed]
            for (name, _), array in zip(listed, made[options["name"]], strict=True):
                inside[name] = array
    return made


def test_a_whole_model_of_keras_2_with_functions_of_tensorflow_gives_its_numbers(tmp_path):
    weights = keras_2(tmp_path / "old.h5")
    net = hdf5.read(tmp_path / "old.h5", Options())
    a = tf.nn.conv2d(image.transpose(0, 2, 3, 1), weights["a"][0], 1, "SAME") + weights["a"][1]
    gamma, beta, mean, variance = weights["b"]
    b = (1 - a / 2 - mean) / tf.sqrt(variance + 0.001) * gamma + beta
    shuffled = tf.nn.depth_to_space(tf.concat([b, a], -1), 2) * [2.0, 3.0]
    c = tf.nn.conv2d_transpose(shuffled, weights["c"][0], (1, 20, 28, 3), 1, "SAME") + weights["c"][1]
    np.testing.assert_allclose(net.run(image)[0], nchw(tf.nn.leaky_relu(c, 0.1)[..., :2]), rtol=1e-4, atol=1e-4)
    assert "24x32" in net.notes[0]
    assert trace(net).graph.node


def test_an_output_can_be_any_layer(tmp_path):
    keras_2(tmp_path / "old.h5")
    net = hdf5.read(tmp_path / "old.h5", Options(outputs=("a",)))
    assert net.run(image)[0].shape == (1, 4, 10, 14)
    with pytest.raises(ModelError, match="no output 'nowhere'"):
        hdf5.read(tmp_path / "old.h5", Options(outputs=("nowhere",)))


LAMBDA = ("Lambda", {"name": "mine", "function": ["4wEA", None, None], "function_type": "lambda"}, [["a", 0, 0, {}]])


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (LAMBDA, r"layer 'mine' is a Lambda.*--trust.*--network"),
        (("Mine", {"name": "mine"}, [["a", 0, 0, {}]]), r"layer 'mine' is or uses 'Mine', which is not part of Keras"),
        (
            ("TFOpLambda", {"name": "mine", "function": "io.read_file"}, ["a", 0, 0, {}]),
            r"'mine' calls tf.io.read_file",
        ),
        (
            ("TensorFlowOpLayer", {"name": "mine", "node_def": {"op": "ReadFile"}, "constants": {}}, [["a", 0, 0, {}]]),
            r"'mine': the operation ReadFile reads or writes outside",
        ),
        (("TFSMLayer", {"name": "mine", "filepath": "/"}, [["a", 0, 0, {}]]), r"'mine' is a TFSMLayer.*other files"),
    ],
)
def test_code_and_functions_that_do_more_than_compute_are_refused_with_the_layers_name(tmp_path, layer, message):
    keras_2(tmp_path / "bad.h5", [*KERAS_2[:2], layer], output=("mine", 0, 0))
    with pytest.raises(ModelError, match=message):
        hdf5.read(tmp_path / "bad.h5", Options())


def test_a_lambda_runs_if_the_file_is_trusted(tmp_path):
    x = keras.Input((8, 8, 3), name="image")
    keras.Model(x, keras.layers.Lambda(lambda t: t * 2, name="mine", output_shape=(8, 8, 3))(x)).save(tmp_path / "x.h5")
    with pytest.raises(ModelError, match="layer 'mine' is a Lambda"):
        hdf5.read(tmp_path / "x.h5", Options())
    np.testing.assert_array_equal(hdf5.read(tmp_path / "x.h5", Options(trust=True)).run(image)[0], image * 2)


def test_a_network_made_for_one_size_only_is_refused_and_says_so(tmp_path):
    x = keras.Input((24, 32, 3), name="image")
    keras.Model(x, keras.layers.PReLU(name="per_pixel")(x)).save(tmp_path / "fixed.h5")
    with pytest.raises(ModelError, match=r"cannot be built for images of any size \(it is fixed to 24x32\)"):
        hdf5.read(tmp_path / "fixed.h5", Options())


def test_weights_of_keras_2_and_3_go_into_the_named_network(tmp_path):
    options = {"scale": 3, "channels": 3, "d": 6, "s": 4, "m": 2}
    model = randomised(networks.build("fsrcnn", **options))
    keras_2(tmp_path / "old.h5", [("Layer", {"name": f"layer{i}"}, []) for i in range(len(model.layers))], shapes={
        f"layer{i}": [(f"w{n}:0", w.shape) for n, w in enumerate(layer.get_weights())]
        for i, layer in enumerate(model.layers)
    })  # fmt: skip
    with h5py.File(tmp_path / "old.h5", "r+") as file:
        del file.attrs["model_config"]
        for i, layer in enumerate(model.layers):
            for n, array in enumerate(layer.get_weights()):
                file[f"model_weights/layer{i}/w{n}:0"][:] = array
    model.save_weights(tmp_path / "new.weights.h5")
    for name in ("old.h5", "new.weights.h5"):
        net = hdf5.read(tmp_path / name, Options(network="fsrcnn", network_options=options))
        assert net.facts == Facts(scale=3, color="ycbcr", range=1, tail="image")
        np.testing.assert_allclose(net.run(image)[0], nchw(model(image.transpose(0, 2, 3, 1))), atol=1e-6)


def test_weights_that_do_not_fit_are_refused_with_the_layers_and_shapes(tmp_path):
    keras_2(tmp_path / "old.h5", shapes=SHAPES)
    with pytest.raises(ModelError, match=r"espcn(.|\n)*conv2d\w*: 5x5x1x64 64 +a: 3x3x3x4 4(.|\n)*options"):
        hdf5.read(tmp_path / "old.h5", Options(network="espcn"))
    networks.build("fsrcnn", m=4).save_weights(tmp_path / "new.weights.h5")
    for options in ({"m": 3}, {"channels": 3}):
        with pytest.raises(ModelError, match=r"new.weights.h5.*'fsrcnn'"):
            hdf5.read(tmp_path / "new.weights.h5", Options(network="fsrcnn", network_options=options))


def test_weights_without_a_network_and_networks_that_cannot_be_built_are_refused(tmp_path):
    networks.build("espcn").save_weights(tmp_path / "new.weights.h5")
    with pytest.raises(ModelError, match=r"--network.*espcn.*fsrcnn"):
        hdf5.read(tmp_path / "new.weights.h5", Options())
    with pytest.raises(ModelError, match="no network is called 'nothing'"):
        hdf5.read(tmp_path / "new.weights.h5", Options(network="nothing"))
    with pytest.raises(ModelError, match="no option depth"):
        hdf5.read(tmp_path / "new.weights.h5", Options(network="espcn", network_options={"depth": 3}))


def test_matches_by_name_and_by_first_bytes(tmp_path):
    for name, content, wanted in [
        ("a.h5", b"", True), ("a.HDF5", b"x", True), ("a.bin", hdf5_file.SIGNATURE, True),
        ("b.keras", hdf5_file.SIGNATURE, True), ("a.onnx", b"x", False),
    ]:  # fmt: skip
        (tmp_path / name).write_bytes(content)
        assert hdf5.matches(tmp_path / name) is wanted, name
    assert not hdf5.matches(tmp_path)
    assert not hdf5.matches(tmp_path / "missing.h5")


def test_files_that_are_cut_short_or_no_hdf5_are_refused_before_they_are_opened(tmp_path, monkeypatch):
    networks.build("espcn").save_weights(tmp_path / "whole.weights.h5")
    data = (tmp_path / "whole.weights.h5").read_bytes()
    monkeypatch.setattr(h5py, "File", None)
    broken = {
        b"": "is empty",
        b"PK\x03\x04": "not an HDF5 file: it begins with",
        data[:-100]: "truncated",
        data[:60]: "truncated|header",
        data[:8] + b"\x09" + data[9:]: "header is not valid HDF5",
    }
    for content, message in broken.items():
        (tmp_path / "broken.h5").write_bytes(content)
        with pytest.raises(ModelError, match=message):
            hdf5.read(tmp_path / "broken.h5", Options(network="espcn"))


def opened(write):
    """Open, with its checks, the HDF5 file that ``write`` makes in memory."""
    file = io.BytesIO()
    with h5py.File(file, "w") as new:
        write(new)
    with hdf5_file.opened(file, "it") as found:
        return list(found)


def test_data_sets_that_are_larger_than_the_file_or_lie_elsewhere_are_refused():
    assert opened(lambda file: file.create_dataset("a", data=np.ones(1000))) == ["a"]
    with pytest.raises(ModelError, match=r"/a has the shape \(1000000000000,\)"):
        opened(lambda file: file.create_dataset("a", shape=(10**12,), chunks=(1000,), dtype="f4"))
    with pytest.raises(ModelError, match="is in another file"):
        opened(lambda file: file.create_dataset("a", shape=(4,), dtype="f4", external=[("/etc/hostname", 0, 16)]))
    with pytest.raises(ModelError, match="link to another file"):
        opened(lambda file: file.__setitem__("a", h5py.ExternalLink("/etc/hostname", "/")))


def test_a_loop_of_links_is_followed_once():
    def write(file):
        file["inner/again"] = file["/"]

    assert opened(write) == ["inner"]


def test_weights_that_are_no_numbers_are_refused(tmp_path):
    keras_2(tmp_path / "old.h5")
    with h5py.File(tmp_path / "old.h5", "r+") as file:
        file["model_weights/a/bias:0"][1] = np.nan
    with pytest.raises(ModelError, match="'a/bias' are not all finite"):
        hdf5.read(tmp_path / "old.h5", Options())


def test_garbage_inside_a_file_is_a_model_error(tmp_path):
    networks.build("espcn").save(tmp_path / "whole.h5")
    data = bytearray((tmp_path / "whole.h5").read_bytes())
    end = struct.unpack_from("<Q", data, 40)[0]
    assert end == len(data)
    data[200:4000] = b"\xa5" * 3800
    (tmp_path / "broken.h5").write_bytes(data)
    with pytest.raises(ModelError, match="broken"):
        hdf5.read(tmp_path / "broken.h5", Options())


def test_a_config_that_keras_never_wrote_is_a_model_error(tmp_path):
    for config in ("{", "[]", '{"class_name": "Model"}', '{"class_name": "Functional", "config": {"layers": [3]}}'):
        with h5py.File(tmp_path / "bad.h5", "w") as file:
            file.attrs["model_config"] = config
            file.create_group("model_weights")
        with pytest.raises(ModelError):
            hdf5.read(tmp_path / "bad.h5", Options())
