"""The rewrites that clean up, and all of them together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the converter needs onnx")
pytest.importorskip("onnxruntime", reason="the graphs run in onnxruntime")

from kit.passes import model, ops, rewritten, run, same, weights

from cvsr.errors import ModelError
from cvsr_converters import passes
from cvsr_converters.passes.lower import shuffle
from cvsr_converters.passes.simplify import drop_dead, drop_identity, fold_constants


def test_drop_dead_removes_nodes_and_constants_that_nobody_reads():
    graph = passes.Graph(model("a = Relu(x) b = Neg(a) y = Tanh(x)", c=weights(3)))
    assert passes.apply(drop_dead, graph)
    assert [n.op for n in graph.nodes] == ["Tanh"]
    assert not graph.constants


def test_drop_dead_keeps_what_an_output_needs():
    assert rewritten(drop_dead, model("a = Relu(x) y = Add(a, c)", c=weights(1)), changes=False) == ["Relu", "Add"]


def test_fold_constants_computes_a_transposed_weight():
    before = model("w = Transpose<perm = [3, 2, 0, 1]>(k) y = Conv(x, w)", k=weights(1, 1, 4, 4))
    assert rewritten(fold_constants, before) == ["Conv"]


def test_fold_constants_takes_constant_nodes():
    assert rewritten(fold_constants, model("c = Constant<value = float {2.0}>() y = Mul(x, c)")) == ["Mul"]


def test_fold_constants_leaves_what_depends_on_the_input():
    rewritten(fold_constants, model("a = Shape(x) b = Reshape(x, a) y = Add(b, c)", c=weights(1)), changes=False)


def test_drop_identity_between_nodes_and_at_the_output():
    assert rewritten(drop_identity, model("a = Relu(x) b = Identity(a) c = Tanh(b) y = Identity(c)")) == [
        "Relu",
        "Tanh",
    ]


@pytest.mark.parametrize(
    "body",
    [
        "b = Concat<axis = 1>(a)",
        "b = Cast<to = 1>(a)",
        "b = Pad(a, pads)",
        "b = Slice(a, start, stop)",
        "u = Unsqueeze(a, start) b = Squeeze(u, start)",
        "u = Reshape(a, flat) v = Reshape(u, half) b = Reshape(v, shape)",
        "b = Sum(a)",
    ],
)
def test_drop_identity_of_what_changes_nothing(body):
    constants = {
        "pads": np.zeros(8, np.int64), "start": np.array([0]), "stop": np.array([2**31 - 1]), "flat": np.array([240]),
        "half": np.array([-1, 2]), "shape": np.array([1, 4, 6, 10]),
    }  # fmt: skip
    before = model(f"a = Relu(x) {body} y = Tanh(b)", **constants)
    assert rewritten(drop_identity, before) == ["Relu", "Tanh"]


@pytest.mark.parametrize(
    "body",
    [
        "b = Cast<to = 7>(a) y = Cast<to = 1>(b)",
        "b = Cast<to = 10>(a) c = Relu(b) y = Cast<to = 1>(c)",  # in half precision between
        "y = Slice(a, start, six)",  # as much as there is at this size
        "b = Reshape(a, turned) y = Reshape(b, flat)",
        "y = Concat<axis = 1>(a, a)",
    ],
)
def test_drop_identity_keeps_what_changes_something(body):
    constants = {
        "start": np.array([0]),
        "six": np.array([6]),
        "turned": np.array([1, 4, 10, 6]),
        "flat": np.array([240]),
    }
    out = ("N",) if "flat" in body else ("N", "C", "H", "W")
    rewritten(drop_identity, model(f"a = Relu(x) {body}", out=out, **constants), changes=False)


def test_drop_identity_keeps_the_one_between_input_and_output():
    rewritten(drop_identity, model("y = Identity(x)"), changes=False)


def test_drop_identity_keeps_a_dropout_whose_mask_is_read():
    body = "a, m = Dropout(x) b = Cast<to = 1>(m) y = Add(a, b)"
    rewritten(drop_identity, model(body), changes=False)
    assert rewritten(drop_identity, model("a = Dropout(x) y = Relu(a)")) == ["Relu"]


# --- all together


NAMES = {
    "plain": ("a = Conv(x, w, b) r = Relu(a) y = Conv(r, w, b)", "w", "b"),
    "other names and order": ("q = Conv(x, n1, n0) z = Relu(q) y = Conv(z, n1, n0)", "n1", "n0"),
}


def test_canonical_names_depend_on_the_graph_only():
    w, b = weights(4, 4, 1, 1), weights(4)
    found = []
    for body, weight, bias in NAMES.values():
        simple = passes.simplify(model(body, **{weight: w, bias: b}))
        found.append(simple.SerializeToString(deterministic=True))
        assert [n.name for n in simple.graph.node] == ["conv0", "relu0", "output"]
        assert list(simple.graph.node[2].input) == ["relu0", "conv0.weight", "conv0.bias"]
        assert [i.name for i in simple.graph.initializer] == ["conv0.weight", "conv0.bias"]
        assert (simple.graph.input[0].name, simple.graph.output[0].name) == ("input", "output")
    assert found[0] == found[1]


def test_canonical_order_puts_each_node_after_what_it_reads():
    before = model("a = Relu(x) b = Tanh(a) c = Neg(a) d = Add(c, b) y = Add(d, a)")
    before.graph.node.sort(key=lambda n: n.op_type, reverse=True)
    onnx.checker.check_model(passes.simplify(before))
    assert [n.op_type for n in passes.simplify(before).graph.node] == ["Relu", "Neg", "Tanh", "Add", "Add"]


def test_a_graph_with_a_cycle_is_refused():
    before = model("a = Relu(x) b = Add(a, a) y = Neg(b)")
    before.graph.node[0].input[0] = "b"
    with pytest.raises(ModelError, match="cycle"):
        passes.canonical.run(passes.Graph(before))


def test_simplify_twice_changes_nothing_more():
    body = """n = Transpose<perm = [0, 2, 3, 1]>(x) m = Transpose<perm = [0, 3, 1, 2]>(n)
              a = Conv<pads = [1, 1, 1, 1]>(m, w) b = Add(a, c)
              p = Relu(b) q = Neg(b) r = Relu(q) s = Mul(r, c) t = Add(p, s)
              u = DepthToSpace<blocksize = 2>(t) v = Min(u, one) y = Max(v, zero)"""
    numbers = {"one": np.float32(1), "zero": np.float32(0)}
    before = model(body, out=(1, 1, 12, 20), w=weights(4, 4, 3, 3), c=weights(1, 4, 1, 1), **numbers)
    once = passes.simplify(before)
    assert ops(once) == ["Conv", "PRelu", "Clip", "DepthToSpace"]
    assert ops(passes.lower(once)) == ["Conv", "PRelu", "Clip", *["Reshape", "Transpose"] * 3]
    assert ops(passes.lower(once, keep=[shuffle])) == ["Conv", "PRelu", "Clip", "DepthToSpace"]
    np.testing.assert_allclose(run(passes.lower(once))[0], run(before)[0], atol=1e-5)
    np.testing.assert_allclose(run(once)[0], run(before)[0], atol=1e-5)
    twice = passes.simplify(once)
    for node in [*once.graph.node, *twice.graph.node]:
        node.ClearField("doc_string")
    assert twice.SerializeToString() == once.SerializeToString()


MIXED = {
    "channels last": """a = Transpose<perm = [0, 2, 3, 1]>(x) b = MatMul(a, w2) d = Add(b, c) e = Max(d, zero)
        y = Transpose<perm = [0, 3, 1, 2]>(e)""",
    "RepVGG": """a = Conv<pads = [1, 1, 1, 1]>(x, w3) n = BatchNormalization(a, c, c, c, v) b = Conv(x, w1)
        m = BatchNormalization(b, c, c, c, v) d = Add(n, m) e = Add(d, x) y = Relu(e)""",
    "scaled residual": "a = Conv(x, w1) b = Mul(a, half) y = Add(b, x)",
    "normalised input": "a = Div(x, two) b = Sub(a, half) d = Conv<pads = [1, 1, 1, 1]>(b, w3) y = Mul(d, two)",
    "subpixels": """a = Conv(x, w1) s = Reshape(a, five) t = Transpose<perm = [0, 1, 4, 2, 5, 3]>(s)
        u = Reshape(t, four) b = Add(u, half) d = Min(b, one) e = Max(d, zero)
        f = SpaceToDepth<blocksize = 2>(e) y = Conv(f, w1)""",
    "channel attention": """p = ReduceMean<axes = [2, 3], keepdims = 0>(x) q = MatMul(p, w2) r = Relu(q)
        s = Sigmoid(r) t = Reshape(s, ones) y = Mul(x, t)""",
    "layer normalisation": """m = ReduceMean<axes = [1]>(x) d = Sub(x, m) q = Pow(d, two) n = ReduceMean<axes = [1]>(q)
        e = Add(n, half) s = Sqrt(e) y = Div(d, s)""",
    "gelu": """a = Div(x, two) b = Erf(a) d = Add(b, one) e = Mul(d, x) f = Mul(e, half) g = Neg(f) h = Relu(g)
        i = Mul(h, c4) j = Relu(f) y = Add(i, j)""",
    "padded": "a = Pad(x, pads) b = Conv(a, w3) d = Identity(b) e = Relu(d) f = Relu(e) y = Clip(f, , one)",
    "double shuffle": """a = DepthToSpace<blocksize = 2>(x) b = Mul(a, half) d = SpaceToDepth<blocksize = 2>(b)
        y = Relu(d)""",
}


@pytest.mark.parametrize("name", MIXED)
def test_simplify_and_lower_are_right_and_end_and_always_give_the_same(name):
    constants = {
        "w1": weights(4, 4, 1, 1), "w2": weights(4, 4), "w3": weights(4, 4, 3, 3), "c": weights(4),
        "c4": weights(1, 4, 1, 1), "v": weights(4) ** 2 + 1, "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
        "five": np.array([1, 1, 2, 2, 6, 10]), "four": np.array([1, 1, 12, 20]), "ones": np.array([1, 4, 1, 1]),
    }  # fmt: skip
    numbers = {"zero": 0, "half": 0.5, "one": 1, "two": 2}
    constants |= {key: np.float32(value) for key, value in numbers.items()}
    before = model(MIXED[name], **constants)
    for rewrite in (passes.simplify, passes.lower):
        before = passes.simplify(before) if rewrite is passes.lower else before
        once, again = rewrite(before), rewrite(before)
        assert once.SerializeToString(deterministic=True) == again.SerializeToString(deterministic=True)
        same(before, once, 1e-4)
        twice = rewrite(once)
        for node in [*once.graph.node, *twice.graph.node]:
            node.ClearField("doc_string")
        assert twice.SerializeToString() == once.SerializeToString()


def test_nothing_needs_more_shape_inferences_than_rounds_and_passes(monkeypatch):
    """A pass that infers the shapes anew for every node takes minutes on a graph of a thousand nodes."""
    calls = []
    infer = onnx.shape_inference.infer_shapes
    monkeypatch.setattr(onnx.shape_inference, "infer_shapes", lambda *a, **k: calls.append(1) or infer(*a, **k))
    steps = ["x0 = Relu(x)"]
    for i in range(100):
        steps.append(f"""a{i} = Conv<pads = [1, 1, 1, 1]>(x{i}, w) n{i} = BatchNormalization(a{i}, c, c, c, v)
            t{i} = Transpose<perm = [0, 2, 3, 1]>(n{i}) s{i} = Max(t{i}, zero) z{i} = Mul(s{i}, c)
            r{i} = Transpose<perm = [0, 3, 1, 2]>(z{i}) x{i + 1} = Add(r{i}, x{i})""")
    constants = {"w": weights(4, 4, 3, 3) * 0.1, "c": np.abs(weights(4)) * 0.3, "v": np.ones(4, np.float32)}
    before = model(" ".join([*steps, "y = Relu(x100)"]), zero=np.float32(0), **constants)
    after = passes.simplify(before)
    assert len(after.graph.node) == 402
    assert len(calls) < 30


def test_every_pass_has_a_picture_and_is_registered():
    folders = [Path(passes.__file__).parent / stage for stage in ("simplify", "lower")]
    files = {path.stem for folder in folders for path in folder.glob("*.py")} - {"__init__", "linear"}
    assert files == {rewrite.__name__.rpartition(".")[2] for rewrite in (*passes.PASSES, *passes.LOWERING)}
    for rewrite in (*passes.PASSES, *passes.LOWERING):
        assert "→" in rewrite.__doc__, rewrite.__name__
