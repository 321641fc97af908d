"""Rewrites of layout: equal numbers before and after where they fit, untouched where they do not."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the converter needs onnx")
pytest.importorskip("onnxruntime", reason="the graphs run in onnxruntime")

from kit.passes import model, ops, rewritten, rewritten_model, same, weights

from cvsr_converters import passes
from cvsr_converters.passes.lower import channel_extremes, plain_layout
from cvsr_converters.passes.simplify import (
    fold_shape,
    keep_axes,
    matmul,
    merge_transposes,
    reduce,
    reshape,
    sink_transposes,
)

# --- layout


def test_reshape_that_moves_an_axis_of_size_one_is_a_transpose():
    before = model(
        "a = Reshape(x, nhwc) b = Relu(a) y = Reshape(b, nchw)",
        channels=1,
        out=(1, 1, 6, 10),
        nhwc=np.array([1, 6, 10, 1]),
        nchw=np.array([1, 1, 6, 10]),
    )
    assert rewritten(reshape, before) == ["Transpose", "Relu", "Transpose"]


def test_reshape_that_mixes_pixels_stays():
    before = model("y = Reshape(x, s)", out=(1, 4, 10, 6), s=np.array([1, 4, 10, 6]))
    assert rewritten(reshape, before, changes=False) == ["Reshape"]


def test_reshape_to_the_same_shape_disappears_altogether():
    simple = passes.simplify(model("a = Reshape(x, s) y = Relu(a)", s=np.array([1, 4, 6, 10])))
    assert [n.op_type for n in simple.graph.node] == ["Relu"]


def test_merge_transposes_drops_a_pair_that_undoes_itself():
    body = "a = Transpose<perm = [0, 2, 3, 1]>(x) b = Transpose<perm = [0, 3, 1, 2]>(a) y = Relu(b)"
    assert rewritten(merge_transposes, model(body)) == ["Relu"]


def test_merge_transposes_composes_in_the_right_order():
    body = "a = Transpose<perm = [0, 2, 3, 1]>(x) y = Transpose<perm = [1, 0, 3, 2]>(a)"
    assert rewritten(merge_transposes, model(body, out=(6, 1, 4, 10))) == ["Transpose"]


def test_merge_transposes_keeps_the_first_for_its_other_reader():
    body = """a = Transpose<perm = [0, 2, 3, 1]>(x) b = Transpose<perm = [0, 3, 1, 2]>(a)
              c = Relu(a) d = Transpose<perm = [0, 3, 1, 2]>(c) y = Add(b, d)"""
    assert rewritten(merge_transposes, model(body)) == ["Transpose", "Relu", "Transpose", "Add"]


def test_merge_transposes_keeps_a_single_one():
    rewritten(merge_transposes, model("y = Transpose<perm = [0, 1, 3, 2]>(x)", out=(1, 4, 10, 6)), changes=False)


# --- channels last


NHWC, NCHW = "Transpose<perm = [0, 2, 3, 1]>", "Transpose<perm = [0, 3, 1, 2]>"


@pytest.mark.parametrize(
    "between",
    [
        "b = Relu(a)",
        "b = Add(a, c)",
        "b = Mul(c, a)",
        "b = PRelu(a, c)",
        "b = Sub(a, scalar)",
        "b = Clip(a, scalar)",
        "b = Softmax<axis = 3>(a)",
        "b = LogSoftmax(a)",
        "b = Concat<axis = -1>(a, a)",
        "b = ReduceMean<axes = [1, 2]>(a)",
        "b = ReduceSum(a, axes)",
        'b = Pad<mode = "reflect">(a, pads)',
        "b = Slice(a, start, stop, axis)",
        'b = Resize<mode = "linear">(a, , scales)',
        "b, b1 = Split<axis = 3>(a)",
        "b = Max(a, pixels)",
    ],
)
def test_transposes_sink(between):
    constants = {
        "c": weights(4), "scalar": np.float32(0.1), "axes": np.array([-1]), "pads": np.array([0, 1, 2, 0, 0, 1, 2, 0]),
        "start": np.array([1, 0]), "stop": np.array([3, 5]), "axis": np.array([3, 1]), "pixels": weights(6, 10, 1),
        "scales": np.array([1, 2, 3, 1], np.float32),
    }  # fmt: skip
    used = {name: array for name, array in constants.items() if f"{name}" in between}
    before = model(f"a = {NHWC}(x) {between} y = {NCHW}(b)", out=("N", "C", "H", "W"), **used)
    after = rewritten_model(sink_transposes, before)
    assert "Transpose" not in ops(passes.simplify(after))


def test_transposes_sink_through_several_inputs_and_readers():
    body = f"a = {NHWC}(x) b = Relu(a) d = Tanh(a) e = Add(b, d) f = Mul(e, c) y = {NCHW}(f)"
    before = model(body, c=weights(4))
    after = passes.simplify(before)
    assert sorted(ops(after)) == ["Add", "Mul", "Relu", "Tanh"]
    same(before, after)


@pytest.mark.parametrize(
    "body",
    [
        f"a = {NHWC}(x) y = Add(a, z)",  # a value that is not transposed
        f"a = {NHWC}(x) b = Transpose<perm = [0, 2, 1, 3]>(x) d = Reshape(b, s) y = Add(a, d)",
        f"a = {NHWC}(x) y = Reshape(a, s)",
        f"a = {NHWC}(x) y = ReduceMean<axes = [3], keepdims = 0>(a)",
    ],
)
def test_transposes_stay_where_they_matter(body):
    body = body.replace("z)", "x1)").replace("y = Add(a, x1)", "x1 = Reshape(x, s) y = Add(a, x1)")
    out = ("N", "A", "B") if "keepdims" in body else ("N", "A", "B", "C")
    rewritten(sink_transposes, model(body, out=out, s=np.array([1, 6, 10, 4])), changes=False)


@pytest.mark.parametrize(
    "body",
    [
        f"a = {NHWC}(x) b = MatMul(a, w) y = {NCHW}(b)",
        f"a = {NHWC}(x) b = Reshape(a, rows) d = MatMul(b, w) e = Reshape(d, image) y = {NCHW}(e)",
    ],
)
def test_dense_layers_on_channels_are_1x1_convolutions(body):
    constants = {"w": weights(4, 3), "rows": np.array([-1, 4]), "image": np.array([1, 6, 10, 3])}
    before = model(body, out=(1, 3, 6, 10), **constants)
    assert "MatMul" not in rewritten(matmul, before)
    assert ops(passes.simplify(before)) == ["Conv"]
    same(before, passes.simplify(before))


def test_matmul_of_other_axes_or_values_stays():
    body = f"a = {NHWC}(x) b = {NCHW}(a) d = Transpose<perm = [0, 1, 3, 2]>(x) y = MatMul(b, d)"
    rewritten(matmul, model(body, out=("N", "C", "H", "W")), changes=False)
    body = "a = Reshape(x, rows) b = MatMul(a, w) y = Reshape(b, image)"  # the rows are not pixels
    constants = {"rows": np.array([60, 4]), "w": weights(4, 4), "image": np.array([1, 4, 6, 10])}
    rewritten(matmul, model(body, **constants), changes=False)


SQUEEZE = {
    "Keras, reshaped": (
        f"a = {NHWC}(x) p = ReduceMean<axes = [1, 2], keepdims = 0>(a) q = MatMul(p, w1) q1 = Add(q, b1) r = Relu(q1) "
        f"s = MatMul(r, w2) t = Sigmoid(s) u = Reshape(t, last) v = Mul(a, u) y = {NCHW}(v)"
    ),
    "PyTorch": (
        "p = GlobalAveragePool(x) q = Reshape(p, flat) r = Gemm<transB = 1>(q, w2, b1) s = Relu(r) "
        "t = Gemm(s, w2, b2) u = Sigmoid(t) v = Reshape(u, first) y = Mul(x, v)"
    ),
    "unsqueezed": (
        "p = ReduceMean<axes = [-1, -2], keepdims = 0>(x) q = MatMul(p, w1) r = MatMul(q, w2) s = Softmax(r) "
        "t = Unsqueeze(s, axes) y = Mul(x, t)"
    ),
}


@pytest.mark.parametrize("name", SQUEEZE)
def test_channel_attention_keeps_its_four_axes(name):
    constants = {
        "w1": weights(4, 2), "b1": weights(2), "w2": weights(2, 4), "b2": weights(4), "flat": np.array([1, 4]),
        "last": np.array([1, 1, 1, 4]), "first": np.array([1, 4, 1, 1]), "axes": np.array([2, 3]),
    }  # fmt: skip
    before = model(SQUEEZE[name], **constants)
    after = passes.simplify(before)
    assert not {"Reshape", "MatMul", "Gemm", "Squeeze", "Transpose", "ReduceMean"} & set(ops(after)), ops(after)
    same(before, after)


def test_flat_leaves_what_is_no_single_number_per_channel():
    body = "p = ReduceMean<axes = [2], keepdims = 0>(x) q = Relu(p) r = Unsqueeze(q, axes) y = Mul(x, r)"
    rewritten(keep_axes, model(body, axes=np.array([2])), changes=False)


# --- shapes


def test_shapes_are_computed():
    body = """s = Shape(x) h = Gather(s, two) w = Gather(s, three) h2 = Mul(h, two) w2 = Mul(w, two)
              h3 = Unsqueeze(h2, zero) w3 = Unsqueeze(w2, zero) z = Concat<axis = 0>(nc, h3, w3)
              y = Resize<mode = "linear">(x, , , z)"""
    ints = {"zero": np.array([0]), "two": np.array(2), "three": np.array(3), "nc": np.array([1, 4])}
    before = model(body, out=(1, 4, 12, 20), **ints)
    assert passes.apply(fold_shape, passes.Graph(before))
    assert ops(passes.simplify(before)) == ["Resize"]
    same(before, passes.simplify(before))


def test_shapes_that_are_not_known_stay():
    before = model("s = Shape(x) t = Cast<to = 1>(s) y = Mul(x, t)", out=("N", "C", "H", "W"))
    before.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "H"
    graph = passes.Graph(before)
    assert not passes.apply(fold_shape, graph)


# --- reductions


@pytest.mark.parametrize(
    ("op", "axes", "expected"),
    [
        ("ReduceMean", [2, 3], "GlobalAveragePool"),
        ("ReduceMean", [-1, -2], "GlobalAveragePool"),
        ("ReduceMax", [2, 3], "GlobalMaxPool"),
        ("ReduceMin", [2, 3], "Neg GlobalMaxPool Neg"),
        ("ReduceL2", [2, 3], "Mul ReduceSum Sqrt"),
        ("ReduceSumSquare", [2, 3], "Mul ReduceSum"),
        ("ReduceL1", [2, 3], "Abs ReduceSum"),
        ("ReduceMean", [1], "Conv"),
        ("ReduceL1", [1], "Abs Conv"),
        ("ReduceL2", [1], "Mul Conv Sqrt"),
        ("ReduceSumSquare", [1], "Mul Conv"),
    ],
)
def test_reduce(op, axes, expected):
    before = model(f"a = {op}<axes = {axes}>(x) y = Mul(x, a)")
    assert rewritten(reduce, before) == [*expected.split(), "Mul"]


def test_extremes_of_channels_are_poolings():
    before = model("a = ReduceMax<axes = [1]>(x) y = Mul(x, a)")
    assert rewritten(channel_extremes, before) == ["Transpose", "MaxPool", "Transpose", "Mul"]
    before = model("a = ReduceMin<axes = [-3]>(x) y = Mul(x, a)")
    assert rewritten(channel_extremes, before) == ["Neg", "Transpose", "MaxPool", "Transpose", "Neg", "Mul"]
    rewritten(channel_extremes, model("a = ReduceMax<axes = [2]>(x) y = Mul(x, a)"), changes=False)


@pytest.mark.parametrize(
    "body",
    [
        "a = Conv(x, one) y = Mul(x, a)",
        "a = Conv(x, one) b = Sigmoid(a) y = Add(b, x)",
        "a = Conv(x, one) b = Abs(a) y = Div(x, b)",
        "a = Abs(x) b = Add(a, half) y = Div(x, b)",  # blocks that are not full
        "a = Abs(x) b = Add(a, half) y = Reciprocal(b)",
    ],
)
def test_plain_layout(body):
    before = model(body, one=weights(1, 4, 1, 1), half=np.float32(0.5))
    assert rewritten(plain_layout, before).count("Transpose") == 2


@pytest.mark.parametrize(
    "body",
    [
        "a = GlobalAveragePool(x) y = Mul(x, a)",
        "a = Relu(x) y = Mul(x, a)",
        "y = Mul(x, c)",
        "a = Conv(x, one) b = Sigmoid(a) d = Mul(a, b) y = Conv(d, four)",
        "a = Transpose<perm = [0, 2, 3, 1]>(x) b = Slice(a, zero, one1, three) d = Transpose<perm = [0, 3, 1, 2]>(b) "
        "y = Mul(x, d)",
    ],
)
def test_plain_layout_leaves_the_rest(body):
    ints = {"zero": [0], "one1": [1], "three": [3]}
    constants = {name: np.array(value) for name, value in ints.items()} | {"c": weights(1, 4, 1, 1)}
    before = model(body, one=weights(1, 4, 1, 1), four=weights(4, 1, 1, 1), **constants)
    rewritten(plain_layout, before, changes=False)


def test_reduce_leaves_rows_alone():
    rewritten(reduce, model("a = ReduceMean<axes = [2]>(x) y = Mul(x, a)"), changes=False)
    rewritten(reduce, model("a = ReduceSum(x, both) y = Mul(x, a)", both=np.array([2, 3])), changes=False)


def test_layer_normalisation_of_channels_last_has_no_reduction():
    body = f"""a = {NHWC}(x) m = ReduceMean<axes = [3]>(a) d = Sub(a, m) q = Pow(d, two) v = ReduceMean<axes = [-1]>(q)
               e = Add(v, eps) s = Sqrt(e) n = Div(d, s) g0 = Mul(n, g) h0 = Add(g0, h) y = {NCHW}(h0)"""
    constants = {"two": np.float32(2), "eps": np.float32(1e-3), "g": weights(4), "h": weights(4)}
    before = model(body, **constants)
    after = passes.simplify(before)
    assert not {"Transpose", "ReduceMean", "Pow"} & set(ops(after))
    same(before, after, 1e-4)
