"""TF.js layers models: topology in JSON, raw weights in shards; written here as TF.js and its converter write them."""

from __future__ import annotations

import json

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="the converter needs TensorFlow")
pytest.importorskip("tf2onnx", reason="the converter needs tf2onnx")
pytest.importorskip("onnxruntime", reason="the tests run the graphs in it")

from kit.tracing import operations

from cvsr.errors import ModelError
from cvsr_converters.original import Input
from cvsr_converters.sources import Options, tfjs

pytestmark = pytest.mark.training

random = np.random.default_rng(0)


def image(size=None):
    config = {"batch_input_shape": [None, size, size, 3], "dtype": "float32", "sparse": False, "name": "in"}
    return {"class_name": "InputLayer", "config": config, "name": "in", "inbound_nodes": []}


def layer(kind, name, *sources, **config):
    nodes = [[[source, 0, 0, {}] for source in sources]]
    return {"class_name": kind, "config": {"name": name, **config}, "name": name, "inbound_nodes": nodes}


def conv(name, source, filters, size=3, **config):
    trained = {"kernel_initializer": {"class_name": "VarianceScaling", "config": {}}, "kernel_constraint": None}
    shape = {"filters": filters, "kernel_size": [size, size], "strides": [1, 1], "padding": "same"}
    return layer("Conv2D", name, source, **shape, data_format="channels_last", trainable=True, **trained, **config)


def functional(*layers, outputs=("out",), kind="Functional"):
    ends = [[name, 0, 0] for name in outputs]
    return {
        "class_name": kind,
        "config": {"name": "net", "layers": layers, "input_layers": [["in", 0, 0]], "output_layers": ends},
    }


def weights(shapes):
    return {name: random.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}


def kernels(name, *shape):
    return weights({f"{name}/kernel": shape, f"{name}/bias": shape[-1:]})


@pytest.fixture
def write(tmp_path):
    """Give a function that writes a model and returns its folder; ``quantise`` maps arrays to (bytes, manifest)."""

    def to(topology, arrays, quantise=None, shards=2, change=None, **more):
        entries, data = [], b""
        for name, array in arrays.items():
            entry = {"name": name, "shape": list(array.shape), "dtype": "float32"}
            stored, how = quantise(array) if quantise else (array, None)
            data += np.ascontiguousarray(stored).tobytes()
            entries.append(entry | ({"quantization": how} if how else {}))
        cuts = np.linspace(0, len(data), shards + 1).astype(int)
        paths = [f"group1-shard{n + 1}of{shards}.bin" for n in range(shards)]
        for path, begin, end in zip(paths, cuts, cuts[1:], strict=False):
            (tmp_path / path).write_bytes(data[begin:end])
        content = {"format": "layers-model", "modelTopology": {"model_config": topology}, **more}
        content["weightsManifest"] = [{"paths": paths, "weights": entries}]
        if change:
            change(content)
        (tmp_path / "model.json").write_text(json.dumps(content))
        return tmp_path

    return to


def small(kind="Functional"):
    layers = image(), conv("a", "in", 4, activation="relu"), conv("out", "a", 3, 1)
    return functional(*layers, kind=kind), kernels("a", 3, 3, 3, 4) | kernels("out", 1, 1, 4, 3)


def expected(x, arrays):
    y = tf.nn.relu(tf.nn.conv2d(x.transpose(0, 2, 3, 1), arrays["a/kernel"], 1, "SAME") + arrays["a/bias"])
    y = tf.nn.conv2d(y, arrays["out/kernel"], 1, "SAME") + arrays["out/bias"]
    return y.numpy().transpose(0, 3, 1, 2)


X = random.random((1, 3, 9, 12), np.float32)


def test_matches_looks_into_the_file(write, tmp_path):
    folder = write(*small())
    assert tfjs.matches(folder)
    assert tfjs.matches(folder / "model.json")
    assert not tfjs.matches(folder / "group1-shard1of2.bin")
    (tmp_path / "other.json").write_text('{"name": "package"}')
    assert not tfjs.matches(tmp_path / "other.json")
    assert not tfjs.matches(tmp_path / "nowhere")


@pytest.mark.parametrize("kind", ["Functional", "Model"])
def test_functional_model(write, kind):
    topology, arrays = small(kind)
    net = tfjs.read(write(topology, arrays), Options())
    assert (net.inputs, net.outputs, net.notes) == ([Input("in", 3)], ["output"], [])
    np.testing.assert_allclose(net.run(X)[0], expected(X, arrays), atol=1e-5)
    assert operations(net) == ["Conv", "Relu", "Conv"]


@pytest.mark.parametrize("listed", [False, True])
def test_sequential_model_of_a_fixed_size_as_tfjs_writes_it(write, listed):
    (one, two), arrays = (
        ({k: v for k, v in e.items() if k in ("class_name", "config")} for e in small()[0]["config"]["layers"][1:]),
        small()[1],
    )
    one["config"]["batch_input_shape"] = [None, 24, 32, 3]
    config = [one, two] if listed else {"name": "sequential_1", "layers": [one, two]}
    topology = {"class_name": "Sequential", "config": config}
    folder = write({}, arrays, change=lambda content: content.update(modelTopology=topology))
    net = tfjs.read(folder, Options())
    np.testing.assert_allclose(net.run(X)[0], expected(X, arrays), atol=1e-5)
    assert net.notes == ["its input was fixed to 24x32; it now accepts any size"]


def affine(bits):
    def quantise(array):
        low, scale = float(array.min()), float(np.ptp(array)) / (2**bits - 1) or 1.0
        stored = np.round((array - low) / scale).astype(f"uint{bits}")
        return stored, {"dtype": f"uint{bits}", "min": low, "scale": scale, "original_dtype": "float32"}

    return quantise


def half(array):
    return array.astype(np.float16), {"dtype": "float16", "original_dtype": "float32"}


@pytest.mark.parametrize(("quantise", "tolerance"), [(affine(8), 0.1), (affine(16), 1e-3), (half, 1e-2)])
def test_quantised_weights(write, quantise, tolerance):
    topology, arrays = small()
    got = tfjs.read(write(topology, arrays, quantise), Options()).run(X)[0]
    restored = {}
    for name, array in arrays.items():
        stored, how = quantise(array)
        restored[name] = (stored * np.float32(how.get("scale", 1)) + np.float32(how.get("min", 0))).astype(np.float32)
    np.testing.assert_allclose(got, expected(X, restored), atol=1e-5)
    np.testing.assert_allclose(got, expected(X, arrays), atol=tolerance)


def test_custom_layers_of_upscalerjs(write):
    topology = functional(
        image(),
        conv("a", "in", 12),
        layer("MultiplyBeta", "beta", "a", dtype="float32"),
        layer("PixelShuffle2x", "out", "beta", trainable=True),
    )
    arrays = kernels("a", 3, 3, 3, 12)
    net = tfjs.read(write(topology, arrays), Options())
    y = tf.nn.conv2d(X.transpose(0, 2, 3, 1), arrays["a/kernel"], 1, "SAME") + arrays["a/bias"]
    wanted = tf.nn.depth_to_space(0.2 * y, 2).numpy().transpose(0, 3, 1, 2)
    np.testing.assert_allclose(net.run(X)[0], wanted, atol=1e-5)
    assert operations(net) == ["Conv", "DepthToSpace"]


def test_custom_shuffle_without_a_scale_leaves_three_channels(write):
    topology = functional(image(), conv("a", "in", 27), layer("PixelShuffle", "out", "a"))
    net = tfjs.read(write(topology, kernels("a", 3, 3, 3, 27)), Options())
    assert net.run(X)[0].shape == (1, 3, 27, 36)


def test_layers_of_keras_2(write):
    topology = functional(
        image(),
        layer("DepthwiseConv2D", "d", "in", kernel_size=[3, 3], padding="same", depth_multiplier=1, use_bias=False),
        layer("BatchNormalization", "bn", "d", axis=[3], epsilon=1e-3, momentum=0.99, gamma_initializer="ones"),
        layer("LeakyReLU", "leaky", "bn", alpha=0.3),
        layer("PReLU", "p", "leaky", shared_axes=[1, 2]),
        layer("Activation", "hard", "p", activation="hard_sigmoid"),
        layer("Add", "out", "hard", "in"),
    )  # fmt: skip
    arrays = weights({"d/depthwise_kernel": (3, 3, 3, 1), "p/alpha": (1, 1, 3)})
    norm = {"bn/gamma": 1.5, "bn/beta": 0.1, "bn/moving_mean": 0.2, "bn/moving_variance": 0.7}
    arrays |= {name: np.full(3, value, np.float32) for name, value in norm.items()}
    net = tfjs.read(write(topology, arrays), Options())
    x = X.transpose(0, 2, 3, 1)
    y = tf.nn.depthwise_conv2d(x, arrays["d/depthwise_kernel"], (1, 1, 1, 1), "SAME")
    y = tf.nn.leaky_relu((y - 0.2) / np.sqrt(0.701) * 1.5 + 0.1, 0.3)
    y = tf.clip_by_value(0.2 * tf.where(y > 0, y, arrays["p/alpha"] * y) + 0.5, 0, 1) + x
    np.testing.assert_allclose(net.run(X)[0], y.numpy().transpose(0, 3, 1, 2), atol=1e-5)
    operations(net)


def test_models_inside_models_and_outputs_by_name(write):
    inner = functional(image(), conv("a", "in", 4), conv("out", "a", 3))
    inner["config"]["name"] = "inner"
    outer = functional(
        {**image(), "name": "in"},
        {**inner, "name": "inner", "inbound_nodes": [[["in", 0, 0, {}]]]},
        layer("Rescaling", "twice", "inner", scale=2, offset=0),
        layer("ReLU", "out", "twice", max_value=6),
    )
    outer["config"]["layers"][2]["inbound_nodes"] = [[["inner", 1, 0, {}]]]
    arrays = {f"inner/{k}": v for k, v in (kernels("a", 3, 3, 3, 4) | kernels("out", 3, 3, 4, 3)).items()}
    whole = tfjs.read(write(outer, arrays), Options()).run(X)[0]
    part = tfjs.read(write(outer, arrays), Options(outputs=("twice",))).run(X)[0]
    assert part.min() < 0
    np.testing.assert_allclose(whole, np.clip(part, 0, 6), atol=1e-6)
    with pytest.raises(ModelError, match="no output 'outer'"):
        tfjs.read(write(outer, arrays), Options(outputs=("outer",)))


def test_what_is_not_known_is_refused_by_name(write):
    arrays = kernels("a", 3, 3, 3, 4)
    for last, message in (
        (layer("Sharpen", "out", "a"), r"'out' is a Sharpen.*CUSTOM"),
        (layer("Lambda", "out", "a", function=["x", None, None]), r"'out' is a Lambda"),
    ):
        with pytest.raises(ModelError, match=message):
            tfjs.read(write(functional(image(), conv("a", "in", 4), last), arrays), Options())


def test_graph_models_are_refused_with_advice(write):
    for change in (
        lambda content: content.update(format="graph-model"),
        lambda content: content.update(modelTopology={"node": []}, format=None),
    ):
        with pytest.raises(ModelError, match=r"graph model.*convert the SavedModel or Keras model"):
            tfjs.read(write(*small(), change=change), Options())


def test_manifest_and_shards_must_agree(write):
    topology, arrays = small()

    def shape(content):
        content["weightsManifest"][0]["weights"][0]["shape"] = [3, 3, 3, 400000000]

    def kind(content):
        content["weightsManifest"][0]["weights"][0]["dtype"] = "string"

    def outside(content):
        content["weightsManifest"][0]["paths"][0] = "../group1-shard1of2.bin"

    def negative(content):
        content["weightsManifest"][0]["weights"][0]["shape"] = [-3, 3, 3, -4]

    for change, message in (
        (shape, r"lists .* bytes of weights.*but they have"),
        (kind, "invalid weight entry"),
        (outside, "outside its own folder"),
        (negative, "an invalid shape"),
        (lambda content: content["weightsManifest"][0]["paths"].append("more.bin"), r"more\.bin is not beside"),
        (lambda content: content.pop("weightsManifest"), "not a list"),
        (lambda content: content.pop("modelTopology"), "no modelTopology"),
    ):
        with pytest.raises(ModelError, match=message):
            tfjs.read(write(topology, arrays, change=change), Options())
    folder = write(topology, arrays)
    shard = folder / "group1-shard2of2.bin"
    shard.write_bytes(shard.read_bytes()[:-4])
    with pytest.raises(ModelError, match="truncated"):
        tfjs.read(folder, Options())


def test_weights_must_fit_the_layers(write):
    topology, arrays = small()
    with pytest.raises(ModelError, match="no weight 'bias' for the layer 'out'"):
        tfjs.read(write(topology, {k: v for k, v in arrays.items() if k != "out/bias"}), Options())
    with pytest.raises(ModelError, match=r"'a/bias' is \[5\], but its layer needs \[4\]"):
        tfjs.read(write(topology, arrays | {"a/bias": np.zeros(5, np.float32)}), Options())
    net = tfjs.read(write(topology, arrays | {"iterations": np.zeros(1, np.float32)}), Options())
    assert net.notes == ["unused weights were ignored: iterations"]


def test_broken_json_is_refused(write):
    folder = write(*small())
    whole = (folder / "model.json").read_text()
    for text, message in ((whole[:300], "valid JSON"), ("[]", "not a TF.js model"), ("[" * 100000, "valid JSON")):
        (folder / "model.json").write_text(text)
        with pytest.raises(ModelError, match=message):
            tfjs.read(folder, Options())
    for key in ("layers", "output_layers"):

        def change(content, key=key):
            content["modelTopology"]["model_config"]["config"].pop(key)

        with pytest.raises(ModelError):
            tfjs.read(write(*small(), change=change), Options())
