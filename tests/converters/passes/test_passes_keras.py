"""Rewrites of what Keras and tf2onnx write: dense layers on one channel, groups of channels, negative padding."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the converter needs onnx")
pytest.importorskip("onnxruntime", reason="the graphs run in onnxruntime")

from kit.passes import attributes, model, ops, rewritten, rewritten_model, run, weights

from cvsr_converters import passes
from cvsr_converters.passes.simplify import group_axes, matmul, negative_pads, sink_transposes

# --- dense layers


@pytest.mark.parametrize("outs", [1, 5])
@pytest.mark.parametrize("last", [True, False])
def test_matmul_on_one_channel(outs, last):
    """Behind a network of one channel, tf2onnx leaves out the Transpose that would put the channel last."""
    first = "t = Transpose<perm = [0, 2, 3, 1]>(x) a = Reshape(t, flat)" if last else "a = Reshape(x, flat)"
    before = model(
        f"{first} b = MatMul(a, w) y = Reshape(b, image)",
        channels=1, out=(1, 6, 10, outs), w=weights(1, outs), flat=np.array([-1, 1]), image=np.array([1, 6, 10, outs]),
    )  # fmt: skip
    assert "Conv" in (found := rewritten(matmul, before))
    assert not {"MatMul", "Reshape"} & set(found)


def test_matmul_whose_result_has_its_one_channel_first():
    body = "t = Transpose<perm = [0, 2, 3, 1]>(x) a = Reshape(t, flat) b = MatMul(a, w) y = Reshape(b, image)"
    constants = {"w": weights(4, 1), "flat": np.array([-1, 4]), "image": np.array([1, 1, 6, 10])}
    simple = passes.simplify(model(body, out=(1, 1, 6, 10), **constants))
    assert ops(simple) == ["Conv"]


def test_matmul_on_rows_stays():
    body = "a = Reshape(x, flat) b = MatMul(a, w) y = Reshape(b, image)"
    constants = {"w": weights(10, 10), "flat": np.array([-1, 10]), "image": np.array([1, 1, 10, 6])}
    rewritten(matmul, model(body, channels=1, out=(1, 1, 10, 6), **constants), changes=False)


# --- groups of channels

NORMAL = """t = Transpose<perm = [0, 2, 3, 1]>(x) g = Reshape(t, to) m = ReduceMean<axes = [1, 2, 4]>(g) d = Sub(g, m)
    q = Mul(d, d) v = ReduceMean<axes = [1, 2, -1]>(q) e = Add(v, epsilon) r = Sqrt(e) n = Div(d, r) o = Mul(n, scale)
    p = Add(o, bias)"""


@pytest.mark.parametrize("groups", [(1, 4), (2, 2), (4, 1)])
def test_group_axes(groups):
    constants = {"scale": weights(1, 1, 1, *groups), "bias": weights(*groups), "epsilon": np.float32(0.01)}
    shapes = {"to": np.array([1, 6, 10, *groups]), "back": np.array([1, 6, 10, 4])}
    before = model(f"{NORMAL} y = Reshape(p, back)", out=(1, 6, 10, 4), **constants, **shapes)
    found = rewritten(group_axes, before, tolerance=1e-4)
    assert not {"Reshape", "ReduceMean"} & set(found)


@pytest.mark.parametrize(
    ("body", "back"),
    [
        ("m = ReduceMean<axes = [1, 2, 3]>(g) d = Sub(g, m) y = Reshape(d, back)", (1, 6, 10, 4)),  # over the groups
        ("m = ReduceMean<axes = [4]>(g) d = Sub(g, m) y = Reshape(d, back)", (1, 6, 10, 4)),
        ("d = Add(g, c) y = Reshape(d, back)", (1, 6, 10, 4)),  # another number for each column
        ("d = Neg(g) y = Reshape(d, back)", (1, 10, 6, 4)),
        ("d = Transpose<perm = [0, 1, 2, 4, 3]>(g) y = Reshape(d, back)", (1, 6, 10, 4)),
        ("s = Reshape(x, to) d = Add(g, s) y = Reshape(d, back)", (1, 6, 10, 4)),  # a value from elsewhere
    ],
)
def test_group_axes_of_something_else_stay(body, back):
    constants = {"to": np.array([1, 6, 10, 2, 2]), "c": weights(10, 2, 2), "back": np.array(back)}
    used = {name: array for name, array in constants.items() if f" {name})" in f"{body} to)"}
    body = f"t = Transpose<perm = [0, 2, 3, 1]>(x) g = Reshape(t, to) {body}"
    rewritten(group_axes, model(body, out=back, **used), changes=False)


# --- what is no ONNX


@pytest.mark.parametrize(
    ("kernel", "stride", "pads", "extra"),
    [(2, 3, [0, 0, -1, -1], [1, 1]), (2, 4, [-1, -1, -1, -1], [2, 2]), (1, 4, [-1, -1, -2, -2], [3, 3])],
)
def test_negative_pads_are_more_output_at_the_end(kernel, stride, pads, extra):
    out, w = (1, 3, 6 * stride, 10 * stride), weights(4, 3, kernel, kernel)
    before = model(f"y = ConvTranspose<strides = [{stride}, {stride}], pads = {pads}>(x, w)", out=out, w=w)
    graph = passes.Graph(before)
    assert passes.apply(negative_pads, graph)
    assert not passes.apply(negative_pads, graph)
    after = graph.to_model()
    assert attributes(after, "ConvTranspose")["output_padding"] == extra
    x = np.random.default_rng(1).normal(size=(1, 4, 6, 10)).astype(np.float32)
    wanted = np.zeros((1, 3, 6, stride, 10, stride), np.float32)  # TensorFlow's: what is missing is at the end
    wanted[:, :, :, :kernel, :, :kernel] = np.einsum("nihw,iokl->nohkwl", x, w)
    np.testing.assert_allclose(run(after)[0], wanted.reshape(out), atol=1e-5)


@pytest.mark.parametrize("pads", ["[1, 1, 1, 1]", "[0, 0, 0, 0]", "[0, 1, 1, 0]"])
def test_other_pads_stay(pads):
    body = f"y = ConvTranspose<strides = [2, 2], pads = {pads}>(x, w)"
    rewritten(negative_pads, model(body, out=("N", "C", "H", "W"), w=weights(4, 3, 4, 4)), changes=False)


def test_a_slice_keeps_one_type_of_indices():
    body = "t = Transpose<perm = [0, 2, 3, 1]>(x) y = Slice(t, start, stop, axes, steps)"
    indices = {"start": [1], "stop": [3], "axes": [3], "steps": [1]}
    before = model(body, out=(1, 6, 10, 2), **{name: np.array(v, np.int32) for name, v in indices.items()})
    after = rewritten_model(sink_transposes, before)  # which checks that ONNX takes it
    assert ops(after) == ["Slice", "Transpose"]
