"""The rewrites that clean up, and all of them together."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the converter needs onnx")
pytest.importorskip("onnxruntime", reason="the graphs run in onnxruntime")

from passkit import model, ops, rewritten, run, weights  # noqa: E402

from cvsr_converters import passes  # noqa: E402
from cvsr_converters.passes import (  # noqa: E402
    drop_dead,
    drop_identity,
    fold_constants,
)


def test_drop_dead_removes_nodes_and_constants_that_nobody_reads():
    graph = passes.Graph(model("a = Relu(x) b = Neg(a) y = Tanh(x)", c=weights(3)))
    assert drop_dead.run(graph)
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


def test_simplify_twice_changes_nothing_more():
    body = """n = Transpose<perm = [0, 2, 3, 1]>(x) m = Transpose<perm = [0, 3, 1, 2]>(n)
              a = Conv<pads = [1, 1, 1, 1]>(m, w) b = Add(a, c)
              p = Relu(b) q = Neg(b) r = Relu(q) s = Mul(r, c) t = Add(p, s)
              u = DepthToSpace<blocksize = 2>(t) v = Min(u, one) y = Max(v, zero)"""
    numbers = {"one": np.float32(1), "zero": np.float32(0)}
    before = model(body, out=(1, 1, 12, 20), w=weights(4, 4, 3, 3), c=weights(1, 4, 1, 1), **numbers)
    once = passes.simplify(before)
    assert ops(once) == ["Conv", "PRelu", "Clip", "DepthToSpace"]
    assert ops(passes.lower(once)) == ["Conv", "PRelu", "Clip", "ConvTranspose"]
    assert ops(passes.lower(once, shuffle="depth_to_space")) == ["Conv", "PRelu", "Clip", "DepthToSpace"]
    np.testing.assert_allclose(run(passes.lower(once))[0], run(before)[0], atol=1e-5)
    np.testing.assert_allclose(run(once)[0], run(before)[0], atol=1e-5)
    twice = passes.simplify(once)
    for node in [*once.graph.node, *twice.graph.node]:
        node.ClearField("doc_string")
    assert twice.SerializeToString() == once.SerializeToString()


def test_every_pass_has_a_picture_and_is_registered():
    files = {m for m in dir(passes) if hasattr(getattr(passes, m), "run") and m != "canonical"}
    assert files == {rewrite.__name__.rpartition(".")[2] for rewrite in (*passes.PASSES, *passes.LOWERING)}
    for rewrite in (*passes.PASSES, *passes.LOWERING):
        assert "→" in rewrite.__doc__, rewrite.__name__
