"""TFLite: TensorFlow's form of each operation agrees with the interpreter, sizes are free, broken files are refused."""

from __future__ import annotations

import contextlib
import struct

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="the converter needs TensorFlow")
pytest.importorskip("tf2onnx", reason="the converter needs tf2onnx")
pytest.importorskip("onnxruntime", reason="the tests run the graphs in it")

from kit.tracing import operations

from cvsr.errors import ModelError
from cvsr_converters.facts import Facts
from cvsr_converters.original import Input
from cvsr_converters.sources import Options, tflite
from cvsr_converters.sources.tflite import file, run

pytestmark = pytest.mark.training

random = np.random.default_rng(0)


def weights(*shape):
    return tf.constant(random.normal(0, 0.3, shape).astype(np.float32))


def conv(x, filters, size=3, **options):
    return tf.nn.conv2d(x, weights(size, size, x.shape[3], filters), 1, "SAME", **options) + weights(filters)


def deconv(x):
    kernel, shape = weights(9, 9, 1, x.shape[3]), tf.shape(x)
    return tf.nn.conv2d_transpose(x, kernel, (1, 2 * shape[1], 2 * shape[2], 1), 2, "SAME")


def double(x, method):
    shape = tf.shape(x)
    return tf.image.resize(x, (2 * shape[1], 2 * shape[2]), method=method)


def prelu(x):
    return tf.nn.relu(x) - weights(1, 1, x.shape[3]) * tf.nn.relu(-x)


def attention(x):
    return x * tf.sigmoid(conv(tf.reduce_mean(x, (1, 2), keepdims=True), x.shape[3], 1))


def mirrored(x):
    return tf.nn.conv2d(
        tf.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), "REFLECT"), weights(3, 3, x.shape[3], 4), 1, "VALID"
    )


NETS = {
    "fsrcnn": (1, lambda x: deconv(prelu(conv(x, 8))), 2),
    "espcn": (1, lambda x: tf.clip_by_value(tf.nn.depth_to_space(conv(tf.tanh(conv(x, 8)), 9), 3), 0.0, 1.0), 3),
    "edsr": (3, lambda x: tf.nn.depth_to_space(conv(x + 0.1 * conv(tf.nn.relu(conv(x, 3)), 3), 12), 2), 2),
    "nearest": (3, lambda x: conv(double(tf.nn.leaky_relu(conv(x, 4), 0.2), "nearest"), 3), 2),
    "bilinear": (3, lambda x: double(tf.nn.relu6(conv(x, 3)), "bilinear"), 2),
    "depthwise": (3, lambda x: x + tf.nn.depthwise_conv2d(x, weights(3, 3, 3, 1), (1, 1, 1, 1), "SAME"), 1),
    "dilated": (3, lambda x: conv(conv(x, 4, dilations=2), 3), 1),
    "concat": (3, lambda x: conv(tf.concat([conv(x, 4), x], -1), 3), 1),
    "attention": (3, lambda x: conv(attention(conv(x, 4)), 3), 1),
    "split": (3, lambda x: tf.add(*tf.split(mirrored(conv(x, 4)), 2, -1)), 1),
}  # fmt: skip


def network(name, size=None, half=False, quantise=False):
    """Return the bytes of a .tflite file."""
    channels, body, _ = NETS[name]
    spec = tf.TensorSpec((1, *(size or (None, None)), channels), tf.float32, name="image")
    converter = tf.lite.TFLiteConverter.from_concrete_functions([tf.function(body).get_concrete_function(spec)])
    if half or quantise:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if half:
        converter.target_spec.supported_types = [tf.float16]
    if quantise:
        converter.representative_dataset = lambda: ([np.ones((1, 8, 8, channels), np.float32)] for _ in range(2))
    return converter.convert()


@pytest.fixture
def read(tmp_path):
    """Give a function that reads bytes as a file."""

    def of(data, options=None):
        (tmp_path / "net.tflite").write_bytes(data)
        assert tflite.matches(tmp_path / "net.tflite")
        return tflite.read(tmp_path / "net.tflite", options or Options())

    return of


def test_matches_by_suffix_or_mark(tmp_path):
    for name, data, wanted in (
        ("a.tflite", b"", True),
        ("a.bin", b"\x1c\0\0\0TFL3", True),
        ("a.bin", b"\x1c\0\0\0TFL", False),
    ):
        (tmp_path / name).write_bytes(data)
        assert tflite.matches(tmp_path / name) == wanted
    assert not tflite.matches(tmp_path)


@pytest.mark.parametrize("name", NETS)
def test_networks_of_any_size(read, name):
    net = read(network(name))
    assert (net.inputs, net.outputs) == ([Input("image", NETS[name][0])], ["Identity"])
    assert net.facts == Facts(scale=NETS[name][2])
    assert net.notes == []
    assert net.run.__module__ == run.__name__, "the interpreter runs it"
    operations(net)


@pytest.mark.parametrize("name", ["fsrcnn", "espcn", "nearest", "bilinear"])
def test_networks_of_a_fixed_size_take_others(read, name):
    free = read(network(name)).facts
    net = read(network(name, (24, 40)))
    assert net.facts == free
    operations(net)
    if name in ("fsrcnn", "nearest"):
        assert net.notes == ["it is fixed to 24x40 and was compared with TFLite at that size"]


def test_a_fixed_size_that_is_no_whole_scale_is_refused(read, monkeypatch):
    monkeypatch.setitem(NETS, "resize", (1, lambda x: tf.image.resize(conv(x, 1), (37, 60)), None))
    with pytest.raises(ModelError, match=r"\[37, 60\].*not an integer scale"):
        read(network("resize", (24, 40)))


def test_half_precision_weights(read):
    data, full = network("fsrcnn", half=True), network("fsrcnn")
    net = read(data)
    assert operations(net) == ["Conv", "PRelu", "ConvTranspose"]
    assert any(tensor.dtype == np.float16 for tensor in file.parse(data).tensors)
    assert all(tensor.dtype != np.float16 for tensor in file.parse(full).tensors)


def test_quantised_models_are_refused_with_advice(read):
    with pytest.raises(ModelError, match=r"int8: the model is quantized.*float model"):
        read(network("edsr", (8, 8), quantise=True))


def test_outputs_are_taken_by_name(read):
    with pytest.raises(ModelError, match="no output 'other'; available: Identity"):
        read(network("depthwise"), Options(outputs=("other",)))
    assert read(network("depthwise"), Options(outputs=("Identity",))).outputs == ["Identity"]


def test_operations_that_are_not_known_are_named(read, monkeypatch):
    monkeypatch.setitem(NETS, "sorted", (3, lambda x: x * tf.cast(tf.math.top_k(x, 3).indices, tf.float32), None))
    with pytest.raises(ModelError, match=r"layer '.*': the operation TOPK_V2 is not supported"):
        read(network("sorted"))


def test_numbers_that_differ_from_the_interpreters_are_refused(read, monkeypatch):
    from cvsr_converters.sources.tflite import ops

    monkeypatch.setitem(ops.OPERATIONS, "TANH", lambda x, fields, grown: tf.sigmoid(x[0]))
    with pytest.raises(ModelError, match="TFLite and TensorFlow differ by"):
        read(network("espcn"))


def test_truncated_files_are_refused(read):
    data = network("espcn")
    for cut in [*range(0, 200, 7), *range(200, len(data) - 8, 171)]:
        with pytest.raises(ModelError):
            read(data[:cut])


def test_damaged_files_are_refused_or_harmless():
    """Whatever is written over a word of the file, reading ends in a File or a ModelError."""
    data = network("fsrcnn")
    place = np.random.default_rng(1)
    for _ in range(1500):
        damaged = bytearray(data)
        at = int(place.integers(0, len(data) // 4)) * 4
        damaged[at : at + 4] = struct.pack(
            "<I", int(place.choice([0, 1, 0x7FFFFFFF, 0xFFFFFFFF, place.integers(2**32)]))
        )
        with contextlib.suppress(ModelError):
            file.parse(bytes(damaged))


def test_shapes_that_lie_are_refused(monkeypatch):
    data = bytearray(network("espcn"))
    tensor = next(t for t in file.parse(bytes(data)).tensors if t.data is not None and t.data.ndim == 4)
    at = data.index(struct.pack("<5i", 4, *tensor.sizes))
    data[at + 4 : at + 8] = struct.pack("<i", 1 << 30)
    with pytest.raises(ModelError, match=r"is \[1073741824, .* but has \d+ bytes"):
        file.parse(bytes(data))
    data[at : at + 4] = struct.pack("<i", 1 << 30)
    with pytest.raises(ModelError, match="a vector runs past the end"):
        file.parse(bytes(data))


def test_other_files_are_refused(read):
    with pytest.raises(ModelError, match="identifier TFL3"):
        read(b"something else entirely")
