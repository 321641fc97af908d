"""Archives of Keras 3: right numbers at any size, and no code, bombs or broken files."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="the converter needs TensorFlow")
pytest.importorskip("tf2onnx", reason="the converter needs tf2onnx")

import keras

from cvsr.errors import ModelError
from cvsr_converters import networks
from cvsr_converters.facts import Facts
from cvsr_converters.sources import Options
from cvsr_converters.sources.keras import archive as keras_archive

pytestmark = pytest.mark.training

random = np.random.default_rng(0)
image = random.random((1, 3, 10, 14)).astype(np.float32)


def save(path, body, size=(None, None)):
    """Save a model of one layer or more with random weights; return it."""
    x = keras.Input((*size, 3), name="image")
    model = keras.Model(x, body(x))
    model.set_weights([random.normal(0, 0.2, w.shape).astype(np.float32) for w in model.get_weights()])
    model.save(path)
    return model


def conv(filters=3, **options):
    return keras.layers.Conv2D(filters, 3, padding="same", **options)


def nchw(tensor):
    return np.asarray(tensor).transpose(0, 3, 1, 2)


def rewrite(path, change):
    """Write the archive again with entries {name: bytes} that ``change`` has made others of."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    change(entries)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)


def test_a_fixed_size_is_made_free_and_the_numbers_stay(tmp_path):
    path = tmp_path / "net.keras"
    model = save(path, lambda x: keras.layers.Dropout(0.1)(keras.layers.BatchNormalization()(conv()(x))), (24, 32))
    net = keras_archive.read(path, Options())
    assert (net.name, net.facts) == ("net", Facts())
    assert "24x32" in net.notes[0]
    x = random.random((1, 24, 32, 3)).astype(np.float32)
    np.testing.assert_array_equal(net.run(nchw(x))[0], nchw(model(x)))
    assert net.run(image)[0].shape == image.shape


def test_what_only_training_needs_is_not_built(tmp_path):
    class Odd(keras.regularizers.Regularizer):
        def __call__(self, weight):
            return 0.0

        def get_config(self):
            return {}

    x = keras.Input((None, None, 3))
    model = keras.Model(x, conv(kernel_regularizer=Odd(), dtype="mixed_bfloat16")(x))
    model.compile("adam", lambda a, b: 0.0)
    model.save(tmp_path / "net.keras")
    net = keras_archive.read(tmp_path / "net.keras", Options())
    np.testing.assert_allclose(net.run(image)[0], nchw(model(image.transpose(0, 2, 3, 1))), atol=0.05)


def test_networks_of_this_package_are_no_unknown_code(tmp_path):
    model = networks.build("espcn", scale=2)
    model.save(tmp_path / "net.keras")
    gray = image[:, :1]
    net = keras_archive.read(tmp_path / "net.keras", Options())
    np.testing.assert_array_equal(net.run(gray)[0], nchw(model(gray.transpose(0, 2, 3, 1))))


def keras_2(entries, *layers):
    """Make the entries those of Keras 2: a function of TensorFlow between layers, which are called by lists."""
    listed = [("InputLayer", {"name": "image", "batch_input_shape": [None, 24, 32, 3]}, []), *layers]
    config = {
        "name": "net", "input_layers": [["image", 0, 0]], "output_layers": [[layers[-1][1]["name"], 0, 0]],
        "layers": [
            {"module": "keras.layers", "class_name": kind, "config": options, "registered_name": None,
             "name": options["name"], "inbound_nodes": [call] if call else []} for kind, options, call in listed
        ],
    }  # fmt: skip
    model = {"module": "keras.src.engine.functional", "class_name": "Functional", "config": config}
    entries["config.json"] = json.dumps(model).encode()
    entries["metadata.json"] = b'{"keras_version": "2.15.0"}'


def test_an_archive_of_keras_2(tmp_path):
    path = tmp_path / "net.keras"
    model = save(path, lambda x: conv(2, name="b")(conv(12, name="a")(x)))
    a = ("Conv2D", {"name": "a", "filters": 12, "kernel_size": [3, 3], "padding": "same"}, [["image", 0, 0, {}]])
    b = ("Conv2D", {"name": "b", "filters": 2, "kernel_size": [3, 3], "padding": "same"}, [["a", 0, 0, {}]])
    clip = ("TFOpLambda", {"name": "clip", "function": "clip_by_value"}, ["b", 0, 0, {"clip_value_min": 0.0,
            "clip_value_max": 0.1}])  # fmt: skip
    rewrite(path, lambda entries: keras_2(entries, a, b, clip))
    net = keras_archive.read(path, Options())
    wanted = np.clip(nchw(model(image.transpose(0, 2, 3, 1))), 0, 0.1)
    np.testing.assert_allclose(net.run(image)[0], wanted, atol=1e-6)
    assert "24x32" in net.notes[0]
    rewrite(path, lambda entries: keras_2(entries, b, a, clip))  # Keras 3 sorts them by their calls
    with pytest.raises(ModelError, match="differently from Keras 2"):
        keras_archive.read(path, Options())


def test_a_lambda_is_refused_by_name_and_runs_if_trusted(tmp_path):
    path = tmp_path / "net.keras"
    save(path, lambda x: keras.layers.Lambda(lambda t: t * 2, name="double", output_shape=(None, None, 3))(x))
    with pytest.raises(ModelError, match=r"layer 'double' is a Lambda.*--trust.*save the model again"):
        keras_archive.read(path, Options())
    np.testing.assert_array_equal(keras_archive.read(path, Options(trust=True)).run(image)[0], image * 2)


def test_a_network_by_name_needs_nothing_but_the_weights_of_an_archive(tmp_path):
    path = tmp_path / "net.keras"
    model = networks.build("espcn", scale=2, widths=(4, 4))
    model.save(path)
    rewrite(path, lambda entries: entries.update({"config.json": b'{"class_name": "Mine", "config": {}}'}))
    with pytest.raises(ModelError, match="'Mine'"):
        keras_archive.read(path, Options())
    net = keras_archive.read(path, Options(network="espcn", network_options={"widths": (4, 4)}))
    gray = image[:, :1]
    np.testing.assert_array_equal(net.run(gray)[0], nchw(model(gray.transpose(0, 2, 3, 1))))


@keras.saving.register_keras_serializable("theirs")
class Theirs(keras.layers.Layer):
    def call(self, x):
        return x


def test_a_layer_whose_code_is_elsewhere_is_refused_by_name(tmp_path):
    path = tmp_path / "net.keras"
    save(path, lambda x: Theirs(name="mine")(x))
    change = {"theirs>Theirs": "theirs>Gone"}

    def rename(entries):
        entries["config.json"] = entries["config.json"].replace(*(k.encode() for k in [*change, *change.values()]))

    rewrite(path, rename)
    with pytest.raises(ModelError, match=r"layer 'mine' is or uses 'theirs>Gone', which is not part of Keras"):
        keras_archive.read(path, Options())


@pytest.mark.parametrize("module", ["os", "keras.utils", "subprocess"])
def test_functions_of_other_modules_are_never_called(tmp_path, module):
    path = tmp_path / "net.keras"
    save(path, lambda x: conv(activation="relu", name="mine")(x))

    def call(entries):
        config = json.loads(entries["config.json"])
        config["config"]["layers"][1]["config"]["activation"] = {
            "class_name": "function", "config": "get_file", "module": module, "registered_name": "get_file",
        }  # fmt: skip
        entries["config.json"] = json.dumps(config).encode()

    rewrite(path, call)
    with pytest.raises(ModelError, match="'mine' is or uses 'get_file'"):
        keras_archive.read(path, Options())


def test_weights_that_are_not_all_there_are_refused(tmp_path):
    path, other = tmp_path / "net.keras", tmp_path / "other.keras"
    for larger, message in ((4, "do not fit"), (None, "contains 4 weight arrays, but .* has 2")):
        save(path, lambda x: conv(name="one")(x))
        save(other, lambda x, n=larger: conv(n, name="one")(x) if n else conv(name="two")(conv(name="one")(x)))
        with zipfile.ZipFile(other) as archive:
            weights = archive.read("model.weights.h5")
        rewrite(path, lambda entries, new=weights: entries.update({"model.weights.h5": new}))
        with pytest.raises(ModelError, match=message):
            keras_archive.read(path, Options())


def test_broken_archives_are_refused(tmp_path):
    path = tmp_path / "net.keras"
    save(path, conv())
    data = path.read_bytes()
    broken = dict.fromkeys((b"", data[:-50], b"HDF" * 99), "not a complete .keras file")
    broken[data.replace(b'"class_name"', b'"class_nam\xff"')] = "not a complete .keras file|JSON"  # the checksum tells
    for content, message in broken.items():
        path.write_bytes(content)
        with pytest.raises(ModelError, match=message):
            keras_archive.read(path, Options())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e: e.pop("config.json"), "0 entries config.json"),
        (lambda e: e.pop("metadata.json"), "0 entries metadata.json"),
        (lambda e: e.pop("model.weights.h5"), "0 entries model.weights.h5"),
        (lambda e: e.update({"model.weights.h5": bytes(10**8)}), r"unpack model.weights.h5 to 100000000 bytes"),
        (lambda e: e.update({"config.json": b" " * 10**8}), r"unpack config.json to 100000000 bytes"),
        (lambda e: e.update({"config.json": b"[" * 10**5}), "not valid JSON"),
        (lambda e: e.update({"config.json": b"[]"}), "not a model"),
        (lambda e: e.update({"config.json": b"[" * 900 + b"]" * 900}), "nested too deeply|not a model|not valid JSON"),
        (
            lambda e: e.update({"model.weights.h5": e["model.weights.h5"][:-9]}),
            "model.weights.h5 of net.keras is trunc",
        ),
    ],
)
def test_archives_that_lack_or_blow_up_entries_are_refused(tmp_path, change, message):
    path = tmp_path / "net.keras"
    save(path, conv())
    rewrite(path, change)
    with pytest.raises(ModelError, match=message):
        keras_archive.read(path, Options())


def test_matches_the_name_unless_it_is_hdf5(tmp_path):
    for content, wanted in ((b"PK\x03\x04", True), (b"", True), (b"\x89HDF\r\n\x1a\n", False)):
        (tmp_path / "a.keras").write_bytes(content)
        assert keras_archive.matches(tmp_path / "a.keras") is wanted
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04")
    assert not keras_archive.matches(tmp_path / "a.zip")
    assert not keras_archive.matches(tmp_path)
