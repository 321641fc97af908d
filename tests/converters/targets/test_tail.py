"""What is cut off the end of a network, the host must give back: the same picture, or nothing is cut."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the converter needs onnx")

from onnx import numpy_helper, parser
from onnx.reference import ReferenceEvaluator

from cvsr_converters.facts import UNKNOWN, Facts
from cvsr_converters.proof import runtime_model
from cvsr_converters.targets import tail

NEAREST = 'mode = "nearest", coordinate_transformation_mode = "asymmetric", nearest_mode = "floor"'
CONV = "a = Conv<kernel_shape = [3, 3], pads = [1, 1, 1, 1]>(x, w, b)"
CRD = 'DepthToSpace<blocksize = 2, mode = "CRD">'
random = np.random.default_rng(2)


def model(body, channels=1, **constants):
    text = f"""<ir_version: 7, opset_import: ["": 13]>
        g (float[1,{channels},6,10] x) => (float[1,{channels},12,20] y) {{ {body} }}"""
    result = parser.parse_model(text)
    constants |= {
        "w": random.normal(size=(4 * channels, channels, 3, 3)).astype(np.float32),
        "b": random.normal(size=4 * channels).astype(np.float32),
        "zero": np.float32(0), "one": np.float32(1), "half": np.float32(0.5), "s": np.array([1, 1, 2, 2], np.float32),
        "w4": random.normal(size=(1, 1, 4, 4)).astype(np.float32),
        "w2": random.normal(size=(1, 1, 3, 3)).astype(np.float32),
    }  # fmt: skip
    used = {name for node in result.graph.node for name in node.input}
    result.graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in constants.items() if n in used)
    return result


CASES = {
    "shuffle": (f"{CONV} y = {CRD}(a)", 1, ["Conv"], Facts(tail="subpixel"), False),
    "color": (f"{CONV} y = {CRD}(a)", 3, ["Conv"], Facts(tail="subpixel"), False),
    "limited": (f"{CONV} c = {CRD}(a) y = Clip(c, zero, one)", 1, ["Conv"], Facts(tail="subpixel"), True),
    "limited before": (f"{CONV} c = Clip(a, zero, one) y = {CRD}(c)", 1, ["Conv"], Facts(tail="subpixel"), True),
    "relu": (f"{CONV} c = {CRD}(a) y = Relu(c)", 1, ["Conv"], Facts(tail="subpixel"), True),
    "deconvolution": (
        "y = ConvTranspose<kernel_shape = [4, 4], strides = [2, 2], pads = [1, 1, 1, 1]>(x, w4)", 1, ["Conv"],
        Facts(tail="subpixel"), False,
    ),
    "skip": (
        f"{CONV} c = {CRD}(a) r = Resize<{NEAREST}>(x, , s) y = Add(r, c)", 1, ["Conv"],
        Facts(tail="subpixel", skip="nearest"), False,
    ),
    "tighter limit": (
        f"{CONV} c = {CRD}(a) y = Clip(c, zero, half)", 1, ["Conv", "DepthToSpace", "Clip"], UNKNOWN, False,
    ),
    "conv behind": (
        f"{CONV} c = {CRD}(a) y = Conv<kernel_shape = [3, 3], pads = [1, 1, 1, 1]>(c, w2)", 1,
        ["Conv", "DepthToSpace", "Conv"], UNKNOWN, False,
    ),
    "other order": (f"{CONV} y = DepthToSpace<blocksize = 2>(a)", 3, ["Conv", "DepthToSpace"], UNKNOWN, False),
    "two readers": (
        f"{CONV} c = {CRD}(a) r = Resize<{NEAREST}>(x, , s) d = Add(r, c) y = Mul(c, d)", 1,
        ["Conv", "DepthToSpace", "Resize", "Add", "Mul"], UNKNOWN, False,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_host_gives_back_what_is_cut_off(name):
    body, channels, ops, facts, limited = CASES[name]
    before = model(body, channels)
    known = Facts(scale=2, range=1, color="luma")
    after, found, was_limited = tail.cut(before, known)
    onnx.checker.check_model(after)
    assert sorted(n.op_type for n in after.graph.node) == sorted(ops)
    assert found == known | facts
    assert was_limited is limited
    x = random.random((1, channels, 6, 10)).astype(np.float32)
    wanted = ReferenceEvaluator(before).run(None, {"x": x})[0]
    got = runtime_model.finish(found)(ReferenceEvaluator(after).run(None, {"input": x})[0], [x])
    limit = runtime_model.limited(found) if limited else np.asarray
    np.testing.assert_allclose(limit(got), limit(wanted), atol=1e-5)


@pytest.mark.parametrize(
    "facts", [Facts(scale=4), Facts(range=255, scale=4), Facts(inputs="bicubic"), Facts(mean=(0.5,), scale=4)]
)
def test_what_the_host_would_do_otherwise_stays(facts):
    before = model(f"{CONV} c = {CRD}(a) y = Clip(c, zero, one)")
    known = Facts(scale=2, range=1) | facts
    after, found, _ = tail.cut(before, known)
    assert "DepthToSpace" in [n.op_type for n in after.graph.node]
    assert found == known
