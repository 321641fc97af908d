"""The computed receptive field against the measured one: change one pixel, see how far the output changes."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the converter needs onnx")

from onnx import numpy_helper, parser
from onnx.reference import ReferenceEvaluator

from cvsr_converters.targets.receptive_field import radius

SIDE = 24  # divisible by 2, 3 and 4, and wider than any field here


def model(body, channels=1, **constants):
    """Return the ONNX model of a graph in ONNX's text form, from x (1, channels, H, W) to y."""
    text = f'<ir_version: 7, opset_import: ["": 13]> g (float[1,{channels},H,W] x) => (float[N,C,I,J] y) {{ {body} }}'
    result = parser.parse_model(text)
    result.graph.initializer.extend(numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items())
    return result


def kernel(*shape):
    """Return positive weights: no two ways through the network cancel, so every pixel that is seen shows."""
    return np.random.default_rng(3).uniform(0.5, 1.5, shape).astype(np.float32)


def measured(onnx_model, channels=1):
    """Return the farthest that a change of one pixel reaches, in pixels of the input, over neighbouring pixels."""
    session, farthest = ReferenceEvaluator(onnx_model), 0
    image = np.random.default_rng(0).uniform(1, 2, (1, channels, SIDE, SIDE)).astype(np.float32)
    before = session.run(None, {"x": image})[0]
    for place in range(SIDE // 2, SIDE // 2 + 4):  # strides make neighbours differ
        changed = image.copy()
        changed[..., place, place] += 1
        difference = np.abs(session.run(None, {"x": changed})[0] - before).max(axis=(0, 1))
        for axis in (0, 1):
            reached = np.nonzero(difference.max(axis=1 - axis) > 1e-6)[0]
            home = reached * SIDE // difference.shape[axis]  # the pixel of the input that each of these lies in
            farthest = max(farthest, int(np.abs(home - place).max()))
    return farthest


CONV = "Conv<kernel_shape = [3, 3], pads = [1, 1, 1, 1]>"
NEAREST = 'mode = "nearest", coordinate_transformation_mode = "asymmetric", nearest_mode = "floor"'
DOUBLE = np.array([1, 1, 2, 2], np.float32)
EXACT = {
    "pointwise": ("a = Relu(x) y = Mul(a, a)", {}),
    "3x3": (f"y = {CONV}(x, w)", {"w": kernel(1, 1, 3, 3)}),
    "a chain": (f"a = {CONV}(x, w) b = Relu(a) c = {CONV}(b, w) y = {CONV}(c, w)", {"w": kernel(1, 1, 3, 3)}),
    "dilated": ("y = Conv<pads = [3, 3, 3, 3], dilations = [3, 3]>(x, w)", {"w": kernel(1, 1, 3, 3)}),
    "one side": ("y = Conv<pads = [0, 0, 3, 3]>(x, w)", {"w": kernel(1, 1, 4, 4)}),
    "wider than high": ("y = Conv<pads = [1, 4, 1, 4]>(x, w)", {"w": kernel(1, 1, 3, 9)}),
    "long and short way": (f"a = {CONV}(x, w) b = {CONV}(a, w) y = Add(b, x)", {"w": kernel(1, 1, 3, 3)}),
    "concatenated": (f"a = {CONV}(x, w) y = Concat<axis = 1>(a, x)", {"w": kernel(1, 1, 3, 3)}),
    "shuffle": (f"a = {CONV}(x, w) y = DepthToSpace<blocksize = 2>(a)", {"w": kernel(4, 1, 3, 3)}),
    "one-hot": ("a = Conv(x, w) y = ConvTranspose<strides = [2, 2]>(a, v)",
                {"w": kernel(4, 1, 1, 1), "v": np.eye(4, dtype=np.float32).reshape(4, 1, 2, 2)}),
    "repeat": (f"y = Resize<{NEAREST}>(x, , s)", {"s": DOUBLE}),
    "repeat, then 3x3": (f"a = Resize<{NEAREST}>(x, , s) y = {CONV}(a, w)", {"s": DOUBLE, "w": kernel(1, 1, 3, 3)}),
    "bilinear": ('y = Resize<mode = "linear">(x, , s)', {"s": DOUBLE}),
    "deconvolution 4x4": ("y = ConvTranspose<strides = [2, 2], pads = [1, 1, 1, 1]>(x, w)", {"w": kernel(1, 1, 4, 4)}),
    "FSRCNN's 9x9": ("y = ConvTranspose<strides = [3, 3], pads = [3, 3, 3, 3]>(x, w)", {"w": kernel(1, 1, 9, 9)}),
    "pooled there and back": (f"a = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(x) y = Resize<{NEAREST}>(a, , s)",
                              {"s": DOUBLE}),
    "strided": ("y = Conv<strides = [2, 2], pads = [1, 1, 1, 1]>(x, w)", {"w": kernel(1, 1, 3, 3)}),
    "reflected": ('a = Pad<mode = "reflect">(x, p) y = Conv(a, w)',
                  {"p": np.array([0, 0, 2, 2, 0, 0, 2, 2]), "w": kernel(1, 1, 5, 5)}),
    "mean of channels": (f"a = {CONV}(x, w) y = ReduceMean<axes = [1]>(a)", {"w": kernel(4, 1, 3, 3)}),
}  # fmt: skip


@pytest.mark.parametrize("name", EXACT)
def test_radius_is_what_a_changed_pixel_shows(name):
    body, constants = EXACT[name]
    onnx_model = model(body, **constants)
    assert radius(onnx_model) == measured(onnx_model)


BOUNDS = {
    "down and up": ("a = Conv<strides = [2, 2], pads = [1, 1, 1, 1]>(x, w) b = Relu(a) "
                    "y = ConvTranspose<strides = [2, 2], pads = [1, 1, 1, 1]>(b, v)",
                    {"w": kernel(1, 1, 3, 3), "v": kernel(1, 1, 4, 4)}),
    "up twice": ("a = ConvTranspose<strides = [2, 2], pads = [1, 1, 1, 1]>(x, v) "
                 "y = ConvTranspose<strides = [2, 2], pads = [1, 1, 1, 1]>(a, v)", {"v": kernel(1, 1, 4, 4)}),
    "bilinear, then 3x3": (f'a = Resize<mode = "linear">(x, , s) y = {CONV}(a, w)',
                           {"s": DOUBLE, "w": kernel(1, 1, 3, 3)}),
    "a valid convolution": ("a = Conv(x, w) y = Pad(a, p)",
                            {"p": np.array([0, 0, 1, 1, 0, 0, 1, 1]), "w": kernel(1, 1, 3, 3)}),
}  # fmt: skip


@pytest.mark.parametrize("name", BOUNDS)
def test_radius_is_enough_and_not_much_more(name):
    body, constants = BOUNDS[name]
    onnx_model = model(body, **constants)
    assert measured(onnx_model) <= radius(onnx_model) <= measured(onnx_model) + 1


@pytest.mark.parametrize(
    "body",
    [
        "a = GlobalAveragePool(x) y = Mul(x, a)",
        "a = ReduceMean<axes = [2, 3]>(x) y = Sub(x, a)",
        "y = InstanceNormalization(x, one, one)",
        "y = Softmax<axis = 3>(x)",
        "y = Transpose<perm = [0, 1, 3, 2]>(x)",
        "a = Reshape(x, shape) y = Relu(a)",
        'y = Resize<mode = "linear", coordinate_transformation_mode = "align_corners">(x, , two)',
        'y = Conv<auto_pad = "SAME_UPPER", strides = [2, 2]>(x, k)',
        "y = SomethingNew(x)",
    ],
)
def test_radius_of_what_sees_the_whole_image_or_is_unknown(body):
    constants = {
        "one": np.ones(1, np.float32),
        "two": DOUBLE,
        "shape": np.array([1, 1, -1, 8]),
        "k": kernel(1, 1, 3, 3),
    }
    assert radius(model(body, **constants)) is None


def test_radius_counts_what_leads_to_an_output_only():
    onnx_model = model("a = GlobalAveragePool(x) y = Relu(x)")
    assert radius(onnx_model) is None  # a graph is simplified first, and then has no such branch
    from cvsr_converters import passes

    assert radius(passes.simplify(onnx_model)) == 0
