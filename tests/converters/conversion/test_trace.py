"""From Keras to ONNX: right numbers at any size, the same graph from every process, and a clear refusal."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="the converter needs TensorFlow")
pytest.importorskip("tf2onnx", reason="the converter needs tf2onnx")

import keras
import onnx
from onnx.reference import ReferenceEvaluator

from cvsr.errors import ModelError
from cvsr_converters import networks, passes
from cvsr_converters.conversion import trace as module
from cvsr_converters.original import Input, Original
from cvsr_converters.passes.differences import differences
from cvsr_converters.sources.keras import graph as keras_graph
from cvsr_converters.targets import ops

pytestmark = pytest.mark.training


def trace(model, channels=None):
    return module.trace(keras_graph.original(model, channels))


def nchw(model, channels=None):
    run = keras_graph.original(model, channels).run
    return lambda blob: run(blob)[0]


layers = keras.layers


def randomised(model, seed=0):
    """Give every weight a random value, the biases above all: zeros would hide what is done to them."""
    random = np.random.default_rng(seed)
    model.set_weights([random.normal(0, 0.3, w.shape).astype(np.float32) for w in model.get_weights()])
    return model


def functional(body, channels=1):
    x = keras.Input((None, None, channels))
    return randomised(keras.Model(x, body(x)))


def free(onnx_model):
    """Return the model with heights and widths that onnx.reference does not insist on."""
    for info in [*onnx_model.graph.input, *onnx_model.graph.output]:
        for number, dim in enumerate(info.type.tensor_type.shape.dim[2:]):
            dim.dim_param = f"{info.name}{number}"
    return onnx_model


def conv(filters, size=3, **options):
    return layers.Conv2D(filters, size, padding="same", **options)


def deconv(filters, size, stride):
    return layers.Conv2DTranspose(filters, size, strides=stride, padding="same")


def prelu():
    return layers.PReLU(shared_axes=[1, 2])


def shuffle(scale):
    return layers.Lambda(lambda x: tf.nn.depth_to_space(x, scale))


NETS = {
    "srcnn": (1, lambda x: conv(1, 5)(conv(4, 1, activation="relu")(conv(8, 9)(x))), "Conv Relu Conv"),
    "color": (3, lambda x: conv(3)(conv(4, activation="relu")(x)), "Conv Relu Conv"),
    "espcn": (1, lambda x: shuffle(3)(conv(9)(conv(4, activation="tanh")(x))), "Conv Tanh Conv DepthToSpace"),
    "espcn in color": (3, lambda x: shuffle(2)(conv(12)(x)), "Conv DepthToSpace"),
    "fsrcnn": (1, lambda x: deconv(1, 9, 3)(prelu()(conv(4, 5)(x))), "Conv PRelu ConvTranspose"),
    "odd deconvolution": (3, lambda x: deconv(3, 5, 2)(conv(4)(x)), "Conv ConvTranspose"),
    "small deconvolution": (1, lambda x: deconv(2, 2, 3)(x), "ConvTranspose"),
    "grouped": (4, lambda x: conv(4, groups=2)(conv(4)(x)), "Conv Conv"),
    "depthwise": (4, lambda x: layers.DepthwiseConv2D(3, padding="same")(x), "Conv"),
    "long skip": (1, lambda x: conv(1)(layers.LeakyReLU(0.1)(conv(4)(x))) + x, "Conv LeakyRelu Conv Add"),
    "clipped": (1, lambda x: keras.ops.clip(conv(1)(x), 0.0, 1.0), "Conv Clip"),
    "dilated": (1, lambda x: conv(4, dilation_rate=2)(x), "Conv"),
    "resized": (3, lambda x: conv(3)(layers.Lambda(double)(x)), "Resize Conv"),
}  # fmt: skip


def double(x):
    shape = tf.shape(x)
    return tf.image.resize(x, (2 * shape[1], 2 * shape[2]), method="nearest")


@pytest.mark.parametrize("name", NETS)
def test_trace_gives_the_same_numbers_at_other_sizes(name):
    channels, body, ops = NETS[name]
    model = functional(body, channels)
    graph = free(trace(model))
    assert [n.op_type for n in graph.graph.node] == ops.split()
    assert (graph.graph.input[0].name, graph.graph.output[0].name) == ("input", "output")
    cv2 = pytest.importorskip("cv2")
    net = cv2.dnn.readNetFromONNX(np.frombuffer(passes.lower(trace(model)).SerializeToString(), np.uint8))
    for size in ((22, 18), (9, 31)):
        x = np.random.default_rng(1).random((1, channels, *size)).astype(np.float32)
        wanted = nchw(model)(x)
        net.setInput(x)
        np.testing.assert_allclose(net.forward(), wanted, atol=2e-5)
        np.testing.assert_allclose(ReferenceEvaluator(graph).run(None, {"input": x})[0], wanted, atol=2e-5)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_trace_of_the_default_network(scale):
    model = networks.collapse(randomised(networks.build("reparam", scale=scale, channels=8, blocks=2, expand=4)))
    graph = trace(model)
    onnx.checker.check_model(graph, full_check=True)
    assert [n.op_type for n in graph.graph.node] == ["Conv", "Relu", "Conv", "Relu", "Conv", "Relu", "Conv"]
    x = np.random.default_rng(1).random((1, 1, 13, 21)).astype(np.float32)
    np.testing.assert_allclose(ReferenceEvaluator(free(graph)).run(None, {"input": x})[0], nchw(model)(x), atol=1e-5)


def test_trace_takes_sequential_and_subclassed_models_and_functions():
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.one = conv(4, activation="relu")

        def call(self, x):
            return self.one(x)

    x = np.random.default_rng(1).random((1, 1, 9, 9)).astype(np.float32)
    sequential = keras.Sequential([keras.Input((None, None, 1)), conv(4), layers.ReLU(), conv(2)])
    kernel = tf.constant(np.random.default_rng(0).normal(size=(3, 3, 1, 2)).astype(np.float32))
    for model in (sequential, Net(), lambda x: tf.nn.conv2d(x, kernel, 1, "SAME")):
        graph = free(trace(model, channels=1))
        np.testing.assert_allclose(ReferenceEvaluator(graph).run(None, {"input": x})[0], nchw(model, 1)(x), atol=1e-5)


def test_trace_names_the_layer_that_bakes_the_size_in():
    def center(x):
        rows = tf.shape(x)[1]
        return x - tf.reduce_sum(x, axis=[1, 2], keepdims=True) / tf.cast(rows, tf.float32)

    baked = functional(lambda x: layers.Lambda(center, name="center")(conv(1)(x)))
    with pytest.raises(ModelError, match=r"baked into this network.*48x64 and 80x56(.|\n)*layer 'functional.*/center"):
        trace(baked)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (lambda x: tf.pad(x, [[0, 0], [2, 2], [2, 2], [0, 0]], "SYMMETRIC"), "SYMMETRIC padding.*use REFLECT"),
        (lambda x: tf.image.resize(x, tf.shape(x)[1:3] * 2, "lanczos3"), "ScaleAndTranslate.*use bicubic"),
        (lambda x: tf.while_loop(lambda y: tf.reduce_sum(y) > 9.0, lambda y: (y / 2,), (x,))[0], "Loop.*every image"),
    ],
)
def test_trace_says_what_bakes_the_size_in_or_depends_on_the_image(body, said):
    model = functional(lambda x: layers.Lambda(body, name="own")(conv(1)(x)))
    with pytest.raises(ModelError, match=f"layer .*{said}"):
        ops.check(trace(model))


def test_trace_names_the_layer_that_is_not_valid_onnx():
    text = """<ir_version: 7, opset_import: ["": 13]> g (float[1,1,H,W] x) => (float[1,1,I,J] y)
        { a = Relu(x) b = Softsign<alpha = 0.5>(a) y = Neg(b) }"""
    broken = onnx.parser.parse_model(text)
    broken.graph.node[1].name = "theirs/odd"
    original = Original("net", [Input("x", 1)], ["y"], None, lambda size: broken)
    with pytest.raises(ModelError, match=r"layer 'theirs/odd' \(Softsign\).*not valid ONNX.*alpha"):
        module.trace(original)


def test_trace_takes_two_inputs_and_gives_two_outputs():
    a, b = keras.Input((None, None, 1), name="small"), keras.Input((None, None, 1), name="large")
    enlarged = shuffle(2)(conv(4)(a)) + b
    model = randomised(keras.Model([a, b], [enlarged, conv(2)(enlarged)]))
    inputs = [Input("small", 1), Input("large", 1, factor=2)]
    net = keras_graph.original(model, inputs=inputs)
    assert net.outputs == ["output0", "output1"]
    graph = free(module.trace(net))
    assert [i.name for i in graph.graph.input] == ["input0", "input1"]
    random = np.random.default_rng(1)
    small, large = (random.random((1, 1, *size)).astype(np.float32) for size in ((9, 12), (18, 24)))
    got = ReferenceEvaluator(graph).run(None, {"input0": small, "input1": large})
    for one, wanted in zip(got, net.run(small, large), strict=True):
        np.testing.assert_allclose(one, wanted, atol=1e-5)


def test_outputs_that_are_not_images_are_refused():
    flat = functional(lambda x: layers.GlobalAveragePooling2D()(conv(2)(x)))
    with pytest.raises(ModelError, match="not an image"):
        trace(flat)


def test_differences_are_none_between_equal_graphs_and_told_otherwise():
    first = trace(functional(lambda x: conv(2)(x)))
    second = onnx.ModelProto.FromString(first.SerializeToString())
    assert differences(first, second) == []
    second.graph.node[0].attribute[0].ints[0] = 9
    assert len(differences(first, second)) == 1


DIGEST = """
import hashlib, keras, numpy, sys
from cvsr_converters import networks
from cvsr_converters.sources.keras.graph import original
from cvsr_converters.conversion.trace import trace

def digest():
    model = networks.collapse(networks.build("reparam", scale=2, channels=4, blocks=2, expand=4))
    model.set_weights([numpy.random.default_rng(0).random(w.shape) for w in model.get_weights()])
    graph = trace(original(model))
    for node in graph.graph.node:
        node.ClearField("doc_string")
    return hashlib.sha256(graph.SerializeToString()).hexdigest()
"""


def test_the_graph_does_not_depend_on_the_process():
    """Names in TensorFlow count what was built before, and sets of strings are ordered by a random seed."""
    here = {}
    exec(DIGEST, here)
    program = f"{DIGEST}\nsys.stdout.write('digest ' + digest())"
    there = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert there.endswith(f"digest {here['digest']()}")


@pytest.mark.parametrize("multiple", [1, 2, 8, 3, 6, 12, 16, 32, 64])
def test_sizes_fit_and_tell_from_each_other(multiple):
    first, second = module._sizes(multiple)
    assert all(n % multiple == 0 and n >= 24 for n in (*first, *second))
    numbers = [*first, *second, first[0] * first[1], second[0] * second[1]]
    assert len(set(numbers)) == 6
