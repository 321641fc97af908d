"""Rewrites of activations: equal numbers before and after where they fit, untouched where they do not."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the converter needs onnx")
pytest.importorskip("onnxruntime", reason="the graphs run in onnxruntime")

from passkit import model, rewritten, weights  # noqa: E402

from cvsr_converters.passes import (  # noqa: E402
    clip,
    prelu,
)


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
