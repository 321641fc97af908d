"""Rewrites that merge arithmetic and convolutions into one: equal numbers where they fit, untouched where not."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the converter needs onnx")
pytest.importorskip("onnxruntime", reason="the graphs run in onnxruntime")

from kit.passes import attributes, model, ops, rewritten, rewritten_model, same, weights

from cvsr_converters import passes
from cvsr_converters.passes.simplify import affine, batch_norm, branches, conv_chain, fold_scale, pad_conv

SAME = "pads = [1, 1, 1, 1]"


# --- arithmetic with constants


def norm(**more):
    return {"s": weights(4), "o": weights(4), "m": weights(4), "v": weights(4) ** 2 + 0.1} | more


def test_batch_norm_is_a_multiplication_and_an_addition():
    before = model("y = BatchNormalization<epsilon = 0.01>(x, s, o, m, v)", **norm())
    assert rewritten(batch_norm, before) == ["Mul", "Add"]


def test_batch_norm_of_computed_statistics_stays():
    body = "a = GlobalAveragePool(x) m = Reshape(a, four) y = BatchNormalization(x, s, o, m, v)"
    constants = norm(four=np.array([4]))
    del constants["m"]
    rewritten(batch_norm, model(body, **constants), changes=False)


def test_batch_norm_and_scales_of_other_ranks_stay():
    body = "a = Reshape(x, rows) b = {} y = Reshape(b, image)"
    shapes = {"rows": np.array([1, 4, 60]), "image": np.array([1, 4, 6, 10])}
    before = model(body.format("BatchNormalization(a, s, o, m, v)"), **shapes, **norm())
    rewritten(batch_norm, before, changes=False)
    body = "a = Reshape(x, rows) b = Conv(a, w) d = Mul(b, k) y = Reshape(d, image)"
    before = model(body, **shapes, w=weights(4, 4, 1), k=np.float32(3))
    rewritten(fold_scale, before, changes=False)


@pytest.mark.parametrize(
    ("op", "attrs", "shape"),
    [
        ("Conv", SAME, (4, 4, 3, 3)),
        ("Conv", f"{SAME}, group = 2", (4, 2, 3, 3)),
        ("Conv", f"{SAME}, group = 4", (4, 1, 3, 3)),
        ("ConvTranspose", SAME, (4, 4, 3, 3)),
        ("ConvTranspose", f"{SAME}, group = 2", (4, 2, 3, 3)),
    ],
)
def test_batch_norm_vanishes_in_the_convolution_before_it(op, attrs, shape):
    for bias in ("", ", b"):
        body = f"a = {op}<{attrs}>(x, w{bias}) y = BatchNormalization(a, s, o, m, v)"
        before = model(body, w=weights(*shape), b=weights(4), **norm())
        after = passes.simplify(before)
        assert ops(after) == [op]
        same(before, after)


def test_batch_norm_vanishes_in_a_convolution_after_it_without_padding_only():
    body = "a = BatchNormalization(x, s, o, m, v) y = Conv<{}>(a, w)"
    before = model(body.format("pads = [0, 0, 0, 0]"), out=(1, 4, 4, 8), w=weights(4, 4, 3, 3), **norm())
    assert ops(passes.simplify(before)) == ["Conv"]
    same(before, passes.simplify(before))
    before = model(body.format(SAME), w=weights(4, 4, 3, 3), **norm())
    assert ops(passes.simplify(before)) == ["Mul", "Add", "Conv"]
    same(before, passes.simplify(before))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("a = Sub(x, c) y = Div(a, d)", ["Mul", "Add"]),
        ("a = Sub(c, x) y = Mul(d, a)", ["Mul", "Add"]),
        ("a = Mul(x, two) b = Mul(a, c) d0 = Add(b, c) y = Sub(d0, two)", ["Mul", "Add"]),
        ("a = Add(x, c) b = Mul(a, two) d0 = Add(b, d) y = Mul(d0, two)", ["Mul", "Add"]),
        ("a = Relu(x) b = Mul(a, one) y = Add(b, zero)", ["Relu"]),
        ("a = Relu(x) y = Mul(a, ones)", ["Relu"]),
    ],
)
def test_affine(body, expected):
    numbers = {
        "two": np.float32(2),
        "one": np.float32(1),
        "zero": np.float32(0),
        "ones": np.ones((4, 1, 1), np.float32),
    }
    before = model(body, c=weights(1, 4, 1, 1), d=weights(1, 4, 1, 1), **numbers)
    after = passes.simplify(before)
    assert ops(after) == expected
    same(before, after)
    assert passes.apply(affine, passes.Graph(before))


@pytest.mark.parametrize(
    ("body", "channels"),
    [
        ("a = Mul(x, c) b = Relu(a) y = Add(b, c)", 4),
        ("a = Mul(x, c) y = Add(a, c)", 4),  # the form that it shall have
        ("a = Mul(x, row) y = Mul(a, column)", 4),  # would hold a whole image
        ("y = Mul(x, four_ones)", 1),  # makes four channels of one
        ("a = Exp(x) y = Div(one, a)", 4),
        ("y = Div(x, zero)", 4),
    ],
)
def test_affine_leaves_the_rest(body, channels):
    constants = {"row": weights(1, 1, 1, 10), "column": weights(1, 1, 6, 1), "c": weights(1, 4, 1, 1)}
    constants |= {"four_ones": np.ones((1, 4, 1, 1), np.float32), "one": np.float32(1), "zero": np.float32(0)}
    rewritten(affine, model(body, channels=channels, **constants), changes=False)


@pytest.mark.parametrize("factor", [(), (4, 1, 1), (1, 4, 1, 1)])
@pytest.mark.parametrize("op", ["Conv", "ConvTranspose"])
@pytest.mark.parametrize("group", [1, 2])
@pytest.mark.parametrize("body", ["a = {}(x, w, b) y = Mul(a, c)", "a = Mul(x, c) y = {}(a, w, b)"])
def test_fold_scale(factor, op, group, body):
    conv = f"{op}<{SAME}, group = {group}>"
    before = model(body.format(conv), w=weights(4, 4 // group, 3, 3), b=weights(4), c=weights(*factor))
    assert rewritten(fold_scale, before) == [op]


def test_fold_scale_of_an_offset_before_a_convolution_without_padding():
    constants = {"w": weights(4, 2, 3, 3), "b": weights(4), "c": weights(1, 4, 1, 1)}
    for bias in ("", ", b"):
        body = f"a = Add(x, c) y = Conv<group = 2>(a, w{bias})"
        assert rewritten(fold_scale, model(body, out=(1, 4, 4, 8), **constants)) == ["Conv"]
    rewritten(fold_scale, model(f"a = Add(x, c) y = Conv<group = 2, {SAME}>(a, w)", **constants), changes=False)


@pytest.mark.parametrize(
    ("body", "channels"),
    [
        ("a = Conv(x, w) b = Mul(a, c) y = Add(a, b)", 4),  # somebody else reads it without
        ("a = Mul(x, c) b = Conv(a, w) y = Add(a, b)", 4),
        ("a = Mul(x, c) y = Conv(a, w)", 1),  # makes four channels of one
        ("a = Conv(x, w) y = Mul(a, pixels)", 4),
    ],
)
def test_fold_scale_leaves_the_rest(body, channels):
    constants = {"w": weights(4, 4, 1, 1), "c": weights(1, 4, 1, 1), "pixels": weights(1, 1, 6, 10)}
    rewritten(fold_scale, model(body, channels=channels, **constants), changes=False)


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_output_in_other_units_is_folded_through_the_shuffle(mode):
    body = f"""a = Conv(x, w) b = DepthToSpace<blocksize = 2, mode = "{mode}">(a) c0 = Mul(b, k) d = Add(c0, o)
               y = Clip(d, low, high)"""
    numbers = {"low": np.float32(0), "high": np.float32(1), "k": weights(1, 3, 1, 1), "o": np.float32(0.3)}
    before = model(body, out=(1, 3, 12, 20), w=weights(12, 4, 1, 1), **numbers)
    assert ops(passes.simplify(before)) == ["Conv", "Clip", "DepthToSpace"]
    same(before, passes.simplify(before))


# --- convolutions


@pytest.mark.parametrize(
    "body",
    [
        "a = Conv(x, u) y = Conv<pads = [1, 1, 1, 1]>(a, v)",  # 1x1, then a padded 3x3
        "a = Conv<pads = [1, 1, 1, 1]>(x, v8, b8) y = Conv(a, w8, b)",  # expand, project
        "a = Conv<pads = [1, 1, 1, 1]>(x, u, b) y = Conv(a, v)",  # padded first
        "a = Conv<pads = [2, 2, 2, 2]>(x, v99, b99) y = Conv(a, w99)",  # 3x3, then 3x3 without padding
        "a = Conv<pads = [0, 0, 1, 1], strides = [2, 2]>(x, v8, b8) y = Conv(a, w8)",
        "a = Conv(x, u) y = Conv<pads = [2, 2, 2, 2], dilations = [2, 2]>(a, v)",
        "a = Conv(x, u) y = Conv<pads = [1, 1, 1, 1], strides = [2, 2], group = 2>(a, v2)",
    ],
)
def test_conv_chain(body):
    constants = {"u": weights(4, 4, 1, 1), "v": weights(4, 4, 3, 3), "b": weights(4)}
    constants |= {"v8": weights(32, 4, 3, 3), "b8": weights(32), "w8": weights(4, 32, 1, 1)}
    constants |= {
        "v99": weights(32, 4, 3, 3),
        "b99": weights(32),
        "w99": weights(4, 32, 3, 3),
        "v2": weights(4, 2, 3, 3),
    }
    before = model(body, out=("N", "C", "H", "W"), **constants)
    if "group" in body:  # merged, it would cost more than both
        rewritten(conv_chain, before, changes=False)
    else:
        assert rewritten(conv_chain, before, tolerance=1e-4) == ["Conv"]


@pytest.mark.parametrize(
    "body",
    [
        "a = Conv(x, u, b) y = Conv<pads = [1, 1, 1, 1]>(a, v)",  # the bias would reach into the padding
        "a = Conv<pads = [1, 1, 1, 1]>(x, v8) y = Conv<pads = [1, 1, 1, 1]>(a, w99)",  # its own padding is not zero
        "a = Conv<pads = [1, 1, 1, 1]>(x, v) y = Conv(a, v)",  # 5x5 costs more than twice 3x3
        "a = Conv(x, u) b0 = Relu(a) y = Conv(b0, u)",
        "a = Conv(x, u) b0 = Conv(a, u) y = Add(a, b0)",
    ],
)
def test_conv_chain_leaves_the_rest(body):
    constants = {"u": weights(4, 4, 1, 1), "v": weights(4, 4, 3, 3), "b": weights(4)}
    constants |= {"v8": weights(32, 4, 3, 3), "w99": weights(4, 32, 3, 3)}
    rewritten(conv_chain, model(body, out=("N", "C", "H", "W"), **constants), changes=False)


P = "pads = [1, 1, 1, 1]"
BRANCHES = {
    "RepVGG": f"a = Conv<{P}>(x, v, b) c0 = Conv(x, u, b) d = Add(a, c0) y = Add(x, d)",
    "identity alone": f"a = Conv<{P}>(x, v, b) y = Add(x, a)",
    "scaled identity": f"a = Conv<{P}>(x, v) s0 = Mul(x, k) y = Add(a, s0)",
    "ACNet": f"""a = Conv<pads = [0, 1, 0, 1]>(x, h) c0 = Conv<pads = [1, 0, 1, 0]>(x, g)
                 d = Conv<{P}>(x, v, b) e = Add(a, c0) y = Add(e, d)""",
    "ECBSR": f"""a = Conv<{P}>(x, v, b) c0 = Conv<{P}>(x, u, b) d = Conv<group = 4>(c0, q, b)
                 e = Conv(x, u) f = Conv<{P}, group = 4>(e, q) g0 = Add(a, d) y = Add(f, g0)""",
    "grouped": f"a = Conv<{P}, group = 4>(x, q, b) c0 = Conv<group = 4>(x, q1) d = Add(a, c0) y = Add(d, x)",
    "dilated": "a = Conv<pads = [2, 2, 2, 2], dilations = [2, 2]>(x, v) "
    "c0 = Conv<pads = [2, 2, 2, 2], dilations = [2, 2]>(x, v, b) y = Add(a, c0)",
}


def kernels():
    shapes = {"v": (4, 4, 3, 3), "u": (4, 4, 1, 1), "h": (4, 4, 1, 3), "g": (4, 4, 3, 1), "q": (4, 1, 3, 3)}
    shapes |= {"b": (4,), "k": (1, 4, 1, 1), "q1": (4, 1, 1, 1)}
    return {name: weights(*shape) for name, shape in shapes.items()}


@pytest.mark.parametrize("name", BRANCHES)
def test_branches(name):
    before = model(BRANCHES[name], **kernels())
    after = rewritten_model(branches, before, tolerance=1e-4)
    assert ops(after) == ["Conv"]
    assert attributes(after, "Conv")["group"] == (4 if name == "grouped" else 1)


def test_branches_with_others_in_the_sum_and_strides():
    body = f"""a = Conv<{P}>(x, v, b) c0 = Conv(x, u) d = Tanh(x) e = Add(a, d) f = Sigmoid(x)
               h0 = Add(c0, f) y = Add(e, h0)"""
    assert sorted(rewritten(branches, model(body, **kernels()))) == ["Add", "Add", "Conv", "Sigmoid", "Tanh"]
    body = f"a = Conv<{P}, strides = [2, 2]>(x, v) c0 = Conv<strides = [2, 2]>(x, u) y = Add(a, c0)"
    assert rewritten(branches, model(body, out=(1, 4, 3, 5), **kernels())) == ["Conv"]


@pytest.mark.parametrize(
    "body",
    [
        f"a = Conv<{P}>(x, v) c0 = Relu(x) d = Conv<{P}>(c0, v) y = Add(a, d)",  # of different values
        "a = Conv<pads = [0, 1, 0, 1]>(x, h) c0 = Conv<pads = [1, 0, 1, 0]>(x, g) y = Add(a, c0)",  # 9 for 6
        f"a = Conv<{P}>(x, v) c0 = Conv(x, u) d = Add(a, c0) y = Mul(d, c0)",  # somebody else reads a branch
        f"a = Conv<{P}, group = 4>(x, q) c0 = Conv(x, u) y = Add(a, c0)",  # dense 3x3 for depthwise and 1x1
        "a = Conv<pads = [2, 2, 2, 2], dilations = [2, 2]>(x, v) c0 = Conv(x, u) d = Tanh(c0) y = Add(a, d)",
        "a = Tanh(x) y = Add(a, x)",
    ],
)
def test_branches_leave_the_rest(body):
    rewritten(branches, model(body, **kernels()), changes=False)


def test_branches_of_one_channel_added_to_four_stay():
    rewritten(branches, model("a = Conv(x, w) y = Add(a, x)", channels=1, w=weights(4, 1, 1, 1)), changes=False)


def test_repvgg_in_training_form_is_one_convolution():
    body = f"""a = Conv<{P}>(x, v) n = BatchNormalization(a, s, o, m, va) c0 = Conv(x, u)
               n1 = BatchNormalization(c0, s, o, m, va) n2 = BatchNormalization(x, s, o, m, va)
               d = Add(n, n1) e = Add(d, n2) y = Relu(e)"""
    constants = kernels() | {"s": weights(4), "o": weights(4), "m": weights(4), "va": weights(4) ** 2 + 0.1}
    before = model(body, **constants)
    assert ops(passes.simplify(before)) == ["Conv", "Relu"]
    same(before, passes.simplify(before), 1e-4)


def test_pad_conv():
    constants = {"w": weights(4, 4, 3, 3), "p": np.array([0, 0, 1, 2, 0, 0, 1, 0]), "zero": np.float32(0)}
    before = model("a = Pad(x, p) y = Conv<pads = [0, 0, 0, 0]>(a, w)", **constants)
    after = rewritten_model(pad_conv, before)
    assert attributes(after, "Conv")["pads"] == [1, 2, 1, 0]
    body = "a = Pad(x, p, zero) y = Conv<pads = [1, 1, 1, 1]>(a, w)"
    assert rewritten(pad_conv, model(body, out=(1, 4, 8, 12), **constants)) == ["Conv"]


@pytest.mark.parametrize(
    "body",
    [
        'a = Pad<mode = "reflect">(x, p) y = Conv(a, w)',
        "a = Pad(x, p, one) y = Conv(a, w)",
        "a = Pad(x, deep) y = Conv(a, w6)",
        "a = Pad(x, p) b = Relu(a) y = Conv(b, w)",
        "a = Pad(x, p) b = Conv<pads = [1, 1, 1, 1]>(a, w) y = Add(a, b)",
        'a = Pad(x, p) y = Conv<auto_pad = "SAME_UPPER">(a, w)',
    ],
)
def test_pad_conv_leaves_the_rest(body):
    pads = {"p": np.array([0, 0, 1, 1, 0, 0, 1, 1]), "deep": np.array([0, 1, 1, 1, 0, 1, 1, 1])}
    constants = pads | {"w": weights(4, 4, 3, 3), "w6": weights(4, 6, 3, 3), "one": np.float32(1)}
    rewritten(pad_conv, model(body, out=("N", "C", "H", "W"), **constants), changes=False)
