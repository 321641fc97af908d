"""Rewrites of activations: equal numbers before and after where they fit, untouched where they do not."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the converter needs onnx")
pytest.importorskip("onnxruntime", reason="the graphs run in onnxruntime")

from kit.passes import model, ops, rewritten, rewritten_model, same, weights

from cvsr_converters import passes
from cvsr_converters.passes.simplify import clip, drop_dead, prelu, spell_out


@pytest.mark.parametrize(
    ("body", "ops"),
    [
        ("a = Min(x, one) y = Max(a, half)", ["Clip"]),
        ("a = Max(half, x) y = Min(one, a)", ["Clip"]),
        ("a = Relu(x) y = Min(a, one)", ["Clip"]),
        ("y = Max(x, zero)", ["Relu"]),
        ("a = Relu(x) y = Relu(a)", ["Relu"]),
        ("a = Clip(x, , one) y = Clip(a, half)", ["Clip"]),
        ("a = Clip(x, half, one) y = Clip(a, two, two)", ["Clip"]),
    ],
)
def test_clip(body, ops):
    numbers = {"zero": 0, "half": 0.5, "one": 1 if "Clip" in body else [[[[1]]]], "two": 2}
    before = model(body, **{k: np.array(v, np.float32) for k, v in numbers.items()})
    assert rewritten(clip, before) == ops


def test_clip_leaves_limits_that_are_no_number_and_relus_that_have_readers():
    rewritten(clip, model("y = Max(x, c)", c=weights(1, 4, 1, 1)), changes=False)
    rewritten(clip, model("a = Neg(x) y = Max(x, a)"), changes=False)
    rewritten(clip, model("y = Clip(x, c, d)", c=np.float32(0.1), d=np.float32(0.2)), changes=False)
    before = model("a = Relu(x) b = Min(a, c) y = Add(a, b)", c=np.float32(1))
    assert rewritten(clip, before) == ["Relu", "Clip", "Add"]


@pytest.mark.parametrize(
    "body",
    [
        "p = Relu(x) n = Neg(x) m = Relu(n) k = Mul(m, c) y = Add(p, k)",
        "p = Relu(x) n = Neg(x) m = Relu(n) k = Mul(c, m) y = Sub(p, k)",
        "p = Relu(x) a = Abs(x) m = Sub(x, a) k = Mul(m, c) h = Mul(k, half) y = Add(h, p)",
    ],
)
def test_prelu_in_five_nodes(body):
    half = np.float32(0.5)
    assert rewritten(prelu, model(body, c=weights(1, 4, 1, 1), half=half)) == ["PRelu"]
    assert rewritten(prelu, model(body, c=weights(4, 1, 1), half=half)) == ["PRelu"]
    assert rewritten(prelu, model(body, c=np.float32(0.2), half=half)) == ["LeakyRelu"]


@pytest.mark.parametrize(
    ("body", "slope"),
    [
        ("p = Relu(x) n = Neg(x) m = Relu(n) k = Mul(m, c) y = Sub(k, p)", (1, 4, 1, 1)),  # the other way round
        (
            "p = Relu(x) q = Tanh(x) n = Neg(q) m = Relu(n) k = Mul(m, c) y = Add(p, k)",
            (1, 4, 1, 1),
        ),  # of another value
        ("p = Relu(x) n = Neg(x) m = Relu(n) k = Mul(m, c) y = Add(p, k)", (1, 4, 6, 10)),  # one slope for each pixel
    ],
)
def test_prelu_leaves_what_only_resembles_it(body, slope):
    rewritten(prelu, model(body, c=weights(*slope)), changes=False)


PRELUS = {
    "absolute value": "p = Mul(x, up) a = Abs(x) q = Mul(a, down) y = Add(p, q)",
    "relu minus relu": "p = Relu(x) n = Neg(x) m = Relu(n) k = Mul(m, c) y = Sub(p, k)",
    "max and min": "p = Max(x, zero) m = Min(x, zero) k = Mul(c, m) y = Add(k, p)",
    "where": "g = Greater(x, zero) k = Mul(x, c) y = Where(g, x, k)",
    "where less": "g = Less(x, zero) k = Mul(x, c) y = Where(g, k, x)",
    "where turned": "g = Greater(zero, x) k = Mul(x, c) y = Where(g, k, x)",
    "divided": "p = Relu(x) a = Abs(x) m = Sub(x, a) k = Mul(m, c) h = Div(k, two) y = Add(h, p)",
    "x and more": "m = Min(x, zero) k = Mul(m, minus) y = Add(x, k)",
}


@pytest.mark.parametrize("shape", [(1, 4, 1, 1), (4, 1, 1), ()])
@pytest.mark.parametrize("name", PRELUS)
def test_prelu_in_every_spelling(name, shape):
    slope = np.random.default_rng(3).uniform(-2, 2, shape).astype(np.float32)
    constants = {"c": slope, "zero": np.float32(0), "two": np.float32(2), "minus": slope - 1}
    constants |= {"up": (1 + slope) / 2, "down": (1 - slope) / 2}
    after = rewritten_model(prelu, model(PRELUS[name], **constants))
    assert ops(after) == ["PRelu" if shape else "LeakyRelu"]


def test_prelu_is_a_relu_or_nothing_where_its_slope_is_0_or_1():
    before = model("t = Tanh(x) p = Relu(t) n = Neg(t) m = Relu(n) y = Sub(p, m)")
    assert ops(passes.simplify(before)) == ["Tanh"]
    before = model("p = Relu(x) n = Neg(x) m = Relu(n) k = Mul(m, c) y = Add(p, k)", c=np.zeros((4, 1, 1), np.float32))
    assert rewritten(prelu, before) == ["Relu"]


def test_the_larger_of_x_and_a_part_of_it_is_a_leaky_relu():
    assert rewritten(prelu, model("k = Mul(x, c) y = Max(x, k)", c=np.float32(0.2))) == ["LeakyRelu"]
    slopes = np.array([0.1, 0.5, -1, 0], np.float32).reshape(4, 1, 1)
    assert rewritten(prelu, model("k = Mul(x, c) y = Max(k, x)", c=slopes)) == ["PRelu"]
    rewritten(prelu, model("k = Mul(x, c) y = Max(x, k)", c=np.float32(1.5)), changes=False)  # 1.5 x is the larger


@pytest.mark.parametrize(
    "body",
    [
        "g = Greater(x, one) k = Mul(x, c) y = Where(g, x, k)",  # not at zero
        "t = Tanh(x) g = Greater(t, zero) k = Mul(x, c) y = Where(g, t, k)",
        "a = Relu(x) y = Add(a, x)",  # twice x where it is positive
        "a = Conv(x, w) y = Add(a, x)",
        "a = Tanh(x) y = Max(a, x)",
    ],
)
def test_prelu_leaves_what_is_none(body):
    numbers = {"zero": np.float32(0), "one": np.float32(1), "c": np.float32(0.3), "w": weights(4, 4, 1, 1)}
    rewritten(prelu, model(body, **numbers), changes=False)


# --- spelled out


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("a = Abs(x) y = Pow(a, half)", "Abs Sqrt"),
        ("y = Pow(x, two)", "Mul"),
        ("y = Pow(x, three)", "Mul Mul"),
        ("a = Neg(x) y = Mean(x, a, x)", "Neg Sum Mul"),
        ("y = InstanceNormalization(x, s, b)", "GlobalAveragePool Sub Mul GlobalAveragePool Add Sqrt Div Mul Add"),
    ],
)
def test_spell(body, expected):
    numbers = {"half": np.float32(0.5), "two": np.float32(2), "three": np.array([3], np.float32)}
    assert rewritten(spell_out, model(body, s=weights(4), b=weights(4), **numbers), tolerance=1e-4) == expected.split()


def test_spell_leaves_a_normalisation_that_is_not_of_an_image():
    body = "a = Reshape(x, rows) b = InstanceNormalization(a, s, s) y = Reshape(b, image)"
    constants = {"rows": np.array([1, 2, -1]), "image": np.array([1, 4, 6, 10]), "s": weights(2)}
    rewritten(spell_out, model(body, **constants), changes=False)


def test_prelu_that_makes_several_channels_of_one_stays():
    body = "p = Relu(x) n = Neg(x) m = Relu(n) k = Mul(m, c) y = Add(p, k)"
    rewritten(prelu, model(body, channels=1, c=weights(4, 1, 1)), changes=False)


def test_spell_of_the_complement_of_the_error_function():
    before = model("a = Erf(x) y = Sub(one, a)", one=np.float32(1))
    graph = passes.Graph(before)
    graph.nodes[1].op, graph.nodes[1].inputs = "ai.onnx.contrib::Erfc", ["x"]
    assert passes.apply(spell_out, graph)
    passes.apply(drop_dead, graph)
    same(before, graph.to_model())


def test_spell_leaves_other_powers_and_scales_that_are_computed():
    rewritten(spell_out, model("a = Abs(x) y = Pow(a, p)", p=np.float32(1.7)), changes=False)
    rewritten(spell_out, model("a = Abs(x) y = Pow(a, x)"), changes=False)


@pytest.mark.parametrize(
    ("op", "opset", "attrs", "expected"),
    [
        ("HardSwish", 14, "", "HardSigmoid Mul"),
        ("Mish", 18, "", "Softplus Tanh Mul"),
        ("Gelu", 20, "", "Mul Erf Mul Add Mul"),
        ("Gelu", 20, '<approximate = "tanh">', "Mul Mul Add Mul Sigmoid Mul"),
    ],
)
def test_spell_of_newer_operations(op, opset, attrs, expected):
    before = model(f"y = {op}{attrs}(x)")
    before.opset_import[0].version = opset
    before.ir_version = 9
    graph = passes.Graph(before)
    assert passes.apply(spell_out, graph)
    assert [n.op for n in graph.nodes] == expected.split()
    same(before, graph.to_model())
