"""A frozen graph for dnn_superres gives there what the network gives, and refuses what does not fit."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the converter needs onnx")
pytest.importorskip("onnxruntime", reason="the graphs run in onnxruntime")
cv2 = pytest.importorskip("cv2")
tensorflow = pytest.importorskip("tensorflow", reason="TensorFlow writes and runs the graph")
if not hasattr(getattr(cv2, "dnn_superres", None), "DnnSuperResImpl_create"):
    pytest.skip("this OpenCV has no dnn_superres", allow_module_level=True)

from kit.targets import facts_of, network, original, small, weights

import cvsr
from cvsr.errors import ModelError
from cvsr_converters.facts import Facts
from cvsr_converters.proof import superres
from cvsr_converters.proof.report import Report
from cvsr_converters.targets import pb

pytestmark = pytest.mark.training
MODELS = Path(__file__).parents[3] / "models" / "cvsr-small"
LUMA = Facts(name="net", scale=2, color="luma", range=1)
REPEAT = 'mode = "nearest", coordinate_transformation_mode = "asymmetric", nearest_mode = "floor"'
SAME = "kernel_shape = [3, 3], pads = [1, 1, 1, 1]"


def packed(model, facts):
    """Pack and prove; return the file's bytes."""
    data = pb.pack(model, facts)
    rows = superres.verify_superres(data, facts, original(model))
    assert Report("net", rows=rows).ok, Report("net", rows=rows).markdown()
    return data


def ops(data):
    return [node.op for node in tensorflow.compat.v1.GraphDef.FromString(data).node]


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_bundled_model(scale):
    info = cvsr.open_model(MODELS / f"cvsr-small_x{scale}.onnx")
    data = packed(onnx.load(info.path), facts_of(info))
    assert ops(data).count("DepthToSpace") == 1


@pytest.mark.parametrize(
    ("color", "facts"),
    [
        ("luma", {"white": 255, "mean": (128,)}),
        ("rgb", {"mean": (0.4488, 0.4371, 0.404)}),
        ("bgr", {"white": 255, "mean": (103.1545782, 111.561547, 114.35629928)}),
        ("ycbcr", {}),
    ],
)
def test_color_range_and_mean_become_those_of_the_module(color, facts):
    model, facts = small(1 if color == "luma" else 3, color, **facts)
    packed(model, facts)


@pytest.mark.parametrize(("scale", "size", "pad"), [(2, 10, 4), (3, 9, 3), (4, 4, 0)])
def test_fsrcnn_with_its_transposed_convolution(scale, size, pad):
    body = f"""a = Conv<kernel_shape = [5, 5], pads = [2, 2, 2, 2]>(x, w, b) c = PRelu(a, p)
               y = ConvTranspose<kernel_shape = [{size}, {size}], strides = [{scale}, {scale}],
                                 pads = [{pad}, {pad}, {pad}, {pad}]>(c, v, e)"""
    constants = {"w": weights(8, 1, 5, 5), "b": weights(8), "p": np.linspace(-0.2, 0.4, 8).reshape(8, 1, 1)}
    constants |= {"v": weights(8, 1, size, size), "e": [0.1]}
    model = network(body, {"x": (1, 48, 64)}, (1, 48 * scale, 64 * scale), **constants)
    data = packed(model, LUMA | Facts(scale=scale))
    assert "DepthToSpace" in ops(data)


BODIES = {
    "tanh, sigmoid": "a = Tanh(h) c = Sigmoid(h) t = Mul(a, c)",
    "elu, abs": "a = Elu(h) c = Abs(h) t = Sub(a, c)",
    "leaky": "t = LeakyRelu<alpha = 0.2>(h)",
    "one slope": "t = PRelu(h, one)",
    "relu6": "t = Clip(h, zero, six)",
    "limits": "t = Clip(h, low, high)",
    "numbers for each channel": "a = Mul(h, vector) c = Add(vector, a) t = Sub(c, vector)",
    "numbers": "a = Mul(half, h) c = Add(a, half) t = Sub(c, six)",
    "scaled branches": "a = Mul(h, vector) c = Add(h, a) e = Mul(c, half) t = Add(e, h)",
    "groups": f"t = Conv<{SAME}, group = 2>(h, halves)",
    "nearest": f"a = Resize<{REPEAT}>(h, , s) t = Conv<{SAME}, strides = [2, 2]>(a, square)",
    "concat": "a = Relu(h) c = Concat<axis = 1>(h, a) t = Conv<kernel_shape = [1, 1]>(c, wide)",
    "depthwise": "t = Conv<kernel_shape = [3, 3], pads = [1, 1, 1, 1], group = 8>(h, deep)",
    "dilated": "t = Conv<kernel_shape = [3, 3], pads = [2, 2, 2, 2], dilations = [2, 2]>(h, square)",
    "lopsided padding": "t = Conv<kernel_shape = [2, 2], pads = [0, 1, 1, 0]>(h, even)",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_layer(body):
    constants = {
        "w": weights(8, 1, 3, 3), "b": weights(8), "v": weights(4, 8, 3, 3), "one": np.full((1, 1, 1), 0.3), "zero": 0,
        "six": 6, "low": -0.3, "high": 0.4, "half": 0.5, "vector": weights(8, 1, 1), "wide": weights(8, 16, 1, 1),
        "deep": weights(8, 1, 3, 3), "square": weights(8, 8, 3, 3), "even": weights(8, 8, 2, 2),
        "halves": weights(8, 4, 3, 3), "s": [1, 1, 2, 2],
    }  # fmt: skip
    text = f"""h = Conv<{SAME}>(x, w, b) {body} planes = Conv<{SAME}>(t, v)
               y = DepthToSpace<blocksize = 2, mode = "DCR">(planes)"""
    packed(network(text, {"x": (1, 48, 64)}, (1, 96, 128), **constants), LUMA)


@pytest.mark.parametrize(("scale", "mode", "count"), [(2, "DCR", 8), (2, "CRD", 5), (3, "DCR", 8), (4, "CRD", 6)])
def test_shuffle_of_many_channels(scale, mode, count):
    """As in EDSR: the module would guess another block size for all of the planes at once."""
    body = f"""a = Conv<{SAME}>(x, w) c = DepthToSpace<blocksize = {scale}, mode = "{mode}">(a)
               y = Conv<{SAME}>(c, v)"""
    constants = {"w": weights(count * scale**2, 3, 3, 3), "v": weights(3, count, 3, 3, gain=0.5)}
    model = network(body, {"x": (3, 48, 64)}, (3, 48 * scale, 64 * scale), **constants)
    packed(model, Facts(name="net", scale=scale, color="rgb", range=1))


def test_two_shuffles_of_three_channels():
    body = f"""a = Conv<{SAME}>(x, w) c = DepthToSpace<blocksize = 2, mode = "CRD">(a) d = Relu(c)
               e = Conv<{SAME}>(d, w) f = DepthToSpace<blocksize = 2, mode = "DCR">(e) y = Conv<{SAME}>(f, v)"""
    model = network(body, {"x": (3, 48, 64)}, (3, 192, 256), w=weights(12, 3, 3, 3), v=weights(3, 3, 3, 3))
    packed(model, Facts(name="net", scale=4, color="rgb", range=255))


def test_the_file_is_a_model_for_cvsr_too(tmp_path, photo):
    info = cvsr.open_model(MODELS / "cvsr-small_x2.onnx")
    facts = facts_of(info) | Facts(name="small")
    path = tmp_path / pb.filename(facts)
    path.write_bytes(pb.pack(onnx.load(info.path), facts))
    assert path.name == "fsrcnn_small_x2.pb"
    frozen = cvsr.open_model(path)
    assert (frozen.color, frozen.range, frozen.scale, frozen.radius) == ("luma", 1, 2, info.radius)
    image = photo("camera")[100:160, 60:120]
    difference = cvsr.Upscaler(frozen, 2)(image).astype(int) - cvsr.Upscaler(info, 2)(image)
    assert np.abs(difference).max() <= 1


def test_same_bytes_for_the_same_network():
    model, facts = small(3, "rgb")
    assert pb.pack(model, facts) == pb.pack(model, facts)


def test_a_wrong_weight_is_found():
    model, facts = small(1, "luma")
    rows = superres.verify_superres(pb.pack(model, facts), facts, original(small(1, "luma")[0]))
    assert {row.result for row in rows} == {"wrong"}
    assert "A, B, A" in rows[1].note


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (f'a = Conv<{SAME}>(x, w) y = DepthToSpace<blocksize = 2, mode = "CRD">(a)', "it turns"),
        (f"a = Conv<{SAME}>(x, w) b = Softmax<axis = 1>(a) y = DepthToSpace<blocksize = 4>(b)", "Softmax"),
        (f"a = Conv<{SAME}>(x, u) y = DepthToSpace<blocksize = 8>(a)", "64 planes by 4, but this network by 8"),
    ],
)
def test_networks_that_do_not_fit(body, message):
    scale = 8 if "blocksize = 8" in body else 4
    kernels = {"w": weights(16, 1, 3, 3), "u": weights(64, 1, 3, 3)}
    model = network(body, {"x": (1, 48, 64)}, (1, 48 * scale, 64 * scale), **kernels)
    with pytest.raises(ModelError, match=message):
        pb.pack(model, LUMA | Facts(scale=scale))


@pytest.mark.parametrize(
    ("change", "message"),
    [({"inputs": "bicubic"}, "reads an enlarged one"), ({"multiple": 4}, "multiples of 4"), ({"scale": 3}, "H \\* 3")],
)
def test_facts_that_do_not_fit(change, message):
    model, facts = small(1, "luma")
    with pytest.raises(ModelError, match=message):
        pb.pack(model, dataclasses.replace(facts, **change))
