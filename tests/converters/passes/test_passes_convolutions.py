"""Rewrites of convolutions: equal numbers before and after where they fit, untouched where they do not."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the converter needs onnx")
pytest.importorskip("onnxruntime", reason="the graphs run in onnxruntime")

from kit.passes import attributes, model, rewritten, rewritten_model, run, weights
from onnx import numpy_helper

from cvsr_converters import passes
from cvsr_converters.passes.lower import conv_transpose_pads, few_outputs, kernel_shape, subpixel
from cvsr_converters.passes.simplify import fold_bias


@pytest.mark.parametrize(
    ("kernel", "stride", "attrs"),
    [
        (3, 2, "pads = [0, 0, 1, 1]"),
        (5, 2, "pads = [1, 1, 2, 2]"),
        (5, 2, "pads = [2, 1, 1, 2]"),
        (2, 3, "pads = [0, 0, -1, -1]"),
        (3, 2, "pads = [1, 1, 1, 1], output_padding = [1, 1]"),
        (4, 2, "output_padding = [1, 0]"),
    ],
)
def test_conv_transpose_pads_become_symmetric(kernel, stride, attrs):
    body = f"y = ConvTranspose<strides = [{stride}, {stride}], kernel_shape = [{kernel}, {kernel}], {attrs}>(x, w, b)"
    before = model(body, out=("H", "W", "I", "J"), w=weights(4, 2, kernel, kernel), b=weights(2))
    graph = passes.Graph(before)
    assert passes.apply(conv_transpose_pads, graph)
    assert not passes.apply(conv_transpose_pads, graph)
    after = graph.to_model()
    found = attributes(after, "ConvTranspose")
    assert found["pads"][:2] == found["pads"][2:]
    assert min(found["pads"]) >= 0
    assert "output_padding" not in found
    wanted = conv_transpose(before)
    np.testing.assert_allclose(conv_transpose(after), wanted, atol=1e-5)
    if "-1" not in attrs:  # onnxruntime takes no negative padding
        np.testing.assert_allclose(run(before)[0], wanted, atol=1e-5)
    np.testing.assert_allclose(run(after)[0], wanted, atol=1e-5)


def conv_transpose(onnx_model):
    """Return the result of a graph of one ConvTranspose, computed from its definition."""
    node, attrs = onnx_model.graph.node[0], attributes(onnx_model, "ConvTranspose")
    constants = {i.name: numpy_helper.to_array(i) for i in onnx_model.graph.initializer}
    kernel, bias = (constants[name] for name in node.input[1:])
    x = np.random.default_rng(1).normal(size=(1, 4, 6, 10)).astype(np.float32)
    s, (k, j) = attrs["strides"][0], kernel.shape[2:]
    top, left, bottom, right = attrs.get("pads", [0] * 4)
    down, across = attrs.get("output_padding", [0, 0])
    height, width = 5 * s + k - top - bottom + down, 9 * s + j - left - right + across
    full = np.zeros((1, kernel.shape[1], height + 20, width + 20))  # 10 more on each side, whatever the pads
    for r in range(6):
        for c in range(10):
            at = (slice(10 + r * s - top, 10 + r * s - top + k), slice(10 + c * s - left, 10 + c * s - left + j))
            full[(0, slice(None), *at)] += np.einsum("i,iokl->okl", x[0, :, r, c], kernel)
    return full[:, :, 10 : 10 + height, 10 : 10 + width] + bias[:, None, None]


def test_conv_transpose_pads_leaves_symmetric_ones_and_dilated_kernels():
    out, w = ("H", "W", "I", "J"), weights(4, 2, 4, 4)
    rewritten(conv_transpose_pads, model("y = ConvTranspose<pads = [1, 1, 1, 1]>(x, w)", out=out, w=w), changes=False)
    body = "y = ConvTranspose<pads = [0, 0, 1, 1], dilations = [2, 2]>(x, w)"
    rewritten(conv_transpose_pads, model(body, out=out, w=w), changes=False)


@pytest.mark.parametrize(
    ("kernel", "stride", "attrs"),
    [
        (3, 2, "pads = [0, 0, 1, 1]"),
        (4, 2, "pads = [1, 1, 1, 1]"),
        (3, 3, ""),
        (9, 3, "pads = [3, 3, 3, 3]"),
        (4, 2, "pads = [1, 2, 1, 0]"),
        (3, 2, "pads = [1, 1, 1, 1], output_padding = [1, 1]"),
    ],
)
@pytest.mark.parametrize("bias", [", b", ""])
def test_transposed_convolutions_become_subpixel_ones(kernel, stride, attrs, bias):
    body = f"a = ConvTranspose<strides = [{stride}, {stride}], {attrs}>(x, w{bias}) y = Relu(a)"
    before = model(body.replace(", >", ">"), out=(1, 2, "I", "J"), w=weights(4, 2, kernel, kernel), b=weights(2))
    assert rewritten(subpixel, before) == ["Conv", "DepthToSpace", "Relu"]
    after = passes.lower(before)
    assert "ConvTranspose" not in [n.op_type for n in after.graph.node]
    np.testing.assert_allclose(run(after)[0], run(before)[0], atol=1e-5)


@pytest.mark.parametrize(
    ("attrs", "shape"),
    [
        ("strides = [2, 2]", (4, 2, 3, 3)),  # not a whole number of times as large
        ("strides = [2, 2], group = 2", (4, 1, 2, 2)),
        ("strides = [2, 1]", (4, 2, 2, 1)),
        ("pads = [1, 1, 1, 1]", (4, 2, 3, 3)),
        ("strides = [3, 3], dilations = [2, 2]", (4, 2, 2, 2)),
    ],
)
def test_other_transposed_convolutions_stay(attrs, shape):
    before = model(f"y = ConvTranspose<{attrs}>(x, w)", out=(1, 2, "I", "J"), w=weights(*shape))
    rewritten(subpixel, before, changes=False)


@pytest.mark.parametrize(
    ("outputs", "kernel", "attrs"),
    [(1, (5, 5), "pads = [2, 2, 2, 2]"), (4, (5, 7), "pads = [0, 3, 1, 2]"), (8, (9, 9), "pads = [4, 4, 4, 4]")],
)
def test_large_convolutions_with_few_outputs_become_columns_and_rows(outputs, kernel, attrs):
    w, b = weights(outputs, 8, *kernel), weights(outputs)
    before = model(f"y = Conv<{attrs}>(x, w, b)", channels=8, out=(1, outputs, "I", "J"), w=w, b=b)
    after = rewritten_model(few_outputs, before, tolerance=1e-4)
    first, second = (numpy_helper.to_array(i) for i in after.graph.initializer if len(i.dims) == 4)
    assert (first.shape[2:], second.shape[2:]) == ((kernel[0], 1), (1, kernel[1]))
    rewritten(
        few_outputs, model(f"y = Conv<{attrs}>(x, w)", channels=8, out=(1, outputs, "I", "J"), w=w), tolerance=1e-4
    )


@pytest.mark.parametrize(
    ("outputs", "inputs", "kernel", "attrs"),
    [
        (9, 8, 5, ""),
        (4, 8, 3, ""),
        (4, 4, 5, ""),
        (4, 8, 5, "strides = [2, 2]"),
        (4, 8, 5, "dilations = [2, 2], pads = [4, 4, 4, 4]"),
        (8, 8, 5, "group = 2"),
    ],
)
def test_other_convolutions_stay_whole(outputs, inputs, kernel, attrs):
    w = weights(outputs, inputs // (2 if "group" in attrs else 1), kernel, kernel)
    before = model(f"y = Conv<{attrs}>(x, w)".replace("<>", ""), channels=inputs, out=(1, outputs, "I", "J"), w=w)
    rewritten(few_outputs, before, changes=False)


def test_kernel_shape_is_written():
    before = model("y = Conv<pads = [1, 0, 1, 0]>(x, w)", w=weights(4, 4, 3, 1))
    graph = passes.Graph(before)
    assert passes.apply(kernel_shape, graph)
    assert attributes(graph.to_model(), "Conv")["kernel_shape"] == [3, 1]
    rewritten(kernel_shape, graph.to_model(), changes=False)


@pytest.mark.parametrize(
    ("body", "shape"),
    [
        ("a = Conv(x, w) y = Add(a, c)", (1, 4, 1, 1)),
        ("a = Conv(x, w, b) y = Add(c, a)", (4, 1, 1)),
        ("a = Conv(x, w, b) y = Sub(a, c)", (1, 4, 1, 1)),
        ("a = Conv(x, w) y = Add(a, c)", ()),
        ("a = ConvTranspose(x, w) y = Add(a, c)", (1, 4, 1, 1)),
    ],
)
def test_fold_bias(body, shape):
    assert len(rewritten(fold_bias, model(body, w=weights(4, 4, 1, 1), b=weights(4), c=weights(*shape)))) == 1


def test_fold_bias_of_two_biases_as_tf2onnx_writes_them():
    before = model("a = Conv(x, w, b) y = Add(a, c)", w=weights(4, 4, 1, 1), b=weights(4), c=weights(1, 4, 1, 1))
    graph = passes.Graph(before)
    graph.nodes[0].inputs.append(graph.constant(graph.constants["c"].ravel(), "b"))
    graph.bypass(graph.nodes[1])
    assert passes.apply(fold_bias, graph)
    np.testing.assert_allclose(run(graph.to_model())[0], run(before)[0], atol=1e-5)


def test_fold_bias_folds_several_in_a_row():
    before = model("a = Conv(x, w) b = Add(a, c) y = Sub(b, c)", w=weights(4, 4, 1, 1), c=weights(1, 4, 1, 1))
    simple = passes.simplify(before)
    assert [n.op_type for n in simple.graph.node] == ["Conv"]
    np.testing.assert_allclose(run(simple)[0], run(before)[0], atol=1e-5)


@pytest.mark.parametrize(
    ("body", "shape", "channels"),
    [
        ("a = Conv(x, w) y = Sub(c, a)", (1, 4, 1, 1), 4),  # the sign of the weights would change
        ("a = Conv(x, w) y = Add(a, c)", (10,), 4),  # one per column
        ("a = Conv(x, w) y = Add(a, c)", (1, 1, 6, 1), 4),  # one per row
        ("a = Conv(x, w) y = Add(a, c)", (1, 4, 1, 1), 1),  # one channel becomes four
        ("a = Conv(x, w) b = Add(a, c) y = Mul(a, b)", (1, 4, 1, 1), 4),  # somebody else reads it without
        ("a = Relu(x) y = Add(a, c)", (1, 4, 1, 1), 4),
    ],
)
def test_fold_bias_leaves_other_sums(body, shape, channels):
    rewritten(fold_bias, model(body, w=weights(channels, 4, 1, 1), c=weights(*shape)), changes=False)


def test_fold_bias_of_a_value_that_is_also_an_output():
    before = model("a = Conv(x, w) y = Add(a, c)", w=weights(4, 4, 1, 1), c=weights(1, 4, 1, 1))
    second = before.graph.output.add()
    second.CopyFrom(before.graph.output[0])
    second.name = "a"
    rewritten(fold_bias, before, changes=False)
