"""Each rewrite on a small graph: equal numbers before and after where it fits, untouched where it does not."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the converter needs onnx")

from onnx import numpy_helper, parser  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402

from cvsr_converters import passes  # noqa: E402
from cvsr_converters.passes import (  # noqa: E402
    clip,
    conv_transpose_pads,
    drop_dead,
    drop_identity,
    fold_bias,
    fold_constants,
    kernel_shape,
    merge_transposes,
    prelu,
    reshape,
    resize,
    shuffle,
)

random = np.random.default_rng(7)


def weights(*shape):
    return random.normal(size=shape).astype(np.float32)


def model(body, channels=4, out=(1, 4, 6, 10), **constants):
    """Return the ONNX model of a graph in ONNX's text form, from x (1, channels, 6, 10) to y."""
    dims = ",".join(map(str, out))
    text = f'<ir_version: 7, opset_import: ["": 13]> g (float[1,{channels},6,10] x) => (float[{dims}] y) {{ {body} }}'
    result = parser.parse_model(text)
    result.graph.initializer.extend(numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items())
    return result


def run(onnx_model):
    shape = [d.dim_value for d in onnx_model.graph.input[0].type.tensor_type.shape.dim]
    x = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    return ReferenceEvaluator(onnx_model).run(None, {onnx_model.graph.input[0].name: x})


def rewritten(rewrite, before, changes=True):
    """Apply one pass; check that it says whether it fired, and that the numbers stay; return the ops after it."""
    text = before.SerializeToString()
    graph = passes.Graph(before)
    assert rewrite.run(graph) is changes
    drop_dead.run(graph)
    after = graph.to_model()
    onnx.checker.check_model(after)
    for a, b in zip(run(before), run(after), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-6)
    assert before.SerializeToString() == text, "a pass must not write into the model that it was given"
    assert not rewrite.run(graph), "the second run must find nothing"
    if not changes:
        assert [n.op_type for n in before.graph.node] == [n.op_type for n in after.graph.node]
    return [n.op_type for n in after.graph.node]


def attributes(graph_model, op):
    node = next(n for n in graph_model.graph.node if n.op_type == op)
    return {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}


# --- nothing left over


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


# --- activations


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


# --- enlarging


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("place", ["half_pixel", "asymmetric", "tf_half_pixel_for_nn"])
@pytest.mark.parametrize("rounding", ["floor", "round_prefer_floor", "round_prefer_ceil", "ceil"])
def test_resize_nearest_fires_exactly_where_it_repeats_pixels(scale, place, rounding):
    attrs = f'mode = "nearest", coordinate_transformation_mode = "{place}", nearest_mode = "{rounding}"'
    out, scales = (1, 4, 6 * scale, 10 * scale), np.array([1, 1, scale, scale], np.float32)
    before = model(f"y = Resize<{attrs}>(x, , s)", out=out, s=scales)
    x = np.random.default_rng(1).normal(size=(1, 4, 6, 10)).astype(np.float32)
    if place == "tf_half_pixel_for_nn":  # which onnx.reference does not know
        same = rounding == "floor"
    else:
        same = np.array_equal(run(before)[0], x.repeat(scale, 2).repeat(scale, 3))
    graph = passes.Graph(before)
    fired = resize.run(graph)
    after = graph.to_model()
    assert (attributes(after, "Resize").get("nearest_mode") == b"floor") is (same or rounding == "floor")
    assert fired is (same and (place, rounding) != ("asymmetric", "floor"))
    if same:
        np.testing.assert_array_equal(run(after)[0], x.repeat(scale, 2).repeat(scale, 3))


def test_resize_turns_sizes_into_scales():
    before = model('y = Resize<mode = "linear">(x, , , s)', out=(1, 4, 12, 30), s=np.array([1, 4, 12, 30]))
    graph = passes.Graph(before)
    assert resize.run(graph)
    after = graph.to_model()
    assert len(after.graph.node[0].input) == 3
    np.testing.assert_allclose(run(after)[0], run(before)[0], atol=1e-6)


def test_resize_leaves_sizes_that_are_no_whole_multiple():
    before = model('y = Resize<mode = "linear">(x, , , s)', out=(1, 4, 9, 15), s=np.array([1, 4, 9, 15]))
    rewritten(resize, before, changes=False)


def test_shuffle_of_one_channel():
    before = model("y = DepthToSpace<blocksize = 2>(x)", out=(1, 1, 12, 20))
    assert rewritten(shuffle, before) == ["ConvTranspose"]


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
@pytest.mark.parametrize("scale", [2, 3])
def test_shuffle_of_color_is_the_same_bit_for_bit(mode, scale):
    cv2 = pytest.importorskip("cv2")
    body = f'a = Conv<kernel_shape = [1, 1]>(x, w, b) y = DepthToSpace<blocksize = {scale}, mode = "{mode}">(a)'
    planes = 3 * scale**2
    before = model(body, out=(1, 3, 6 * scale, 10 * scale), w=weights(planes, 4, 1, 1), b=weights(planes))
    graph = passes.Graph(before)
    assert shuffle.run(graph)
    # onnx.reference fails on groups in ConvTranspose, so this one is asked of OpenCV
    net = cv2.dnn.readNetFromONNX(np.frombuffer(graph.to_model().SerializeToString(), np.uint8))
    net.setInput(np.random.default_rng(1).normal(size=(1, 4, 6, 10)).astype(np.float32))
    np.testing.assert_allclose(net.forward(), run(before)[0], atol=1e-5)
    assert attributes(graph.to_model(), "ConvTranspose")["group"] == 3


def test_shuffle_without_a_convolution_before_it_is_dense():
    before = model("a = Relu(x) y = DepthToSpace<blocksize = 2>(a)", channels=12, out=(1, 3, 12, 20))
    assert rewritten(shuffle, before) == ["Relu", "ConvTranspose"]


def test_shuffle_does_not_reorder_what_others_read():
    body = """a = Conv(x, w) b = DepthToSpace<blocksize = 2>(a) m = GlobalAveragePool(a)
              s = Slice(m, zero, three, one) y = Mul(b, s)"""
    ints = {"zero": [0], "three": [3], "one": [1]}
    constants = {name: np.array(value) for name, value in ints.items()}
    before = model(body, out=(1, 3, 12, 20), w=weights(12, 4, 1, 1), **constants)
    assert "ConvTranspose" in rewritten(shuffle, before)


# --- convolutions


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
    assert conv_transpose_pads.run(graph)
    assert not conv_transpose_pads.run(graph)
    after = graph.to_model()
    found = attributes(after, "ConvTranspose")
    assert found["pads"][:2] == found["pads"][2:]
    assert min(found["pads"]) >= 0
    assert "output_padding" not in found
    wanted = conv_transpose(before)
    np.testing.assert_allclose(conv_transpose(after), wanted, atol=1e-5)
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


def test_kernel_shape_is_written():
    before = model("y = Conv<pads = [1, 0, 1, 0]>(x, w)", w=weights(4, 4, 3, 1))
    graph = passes.Graph(before)
    assert kernel_shape.run(graph)
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
    assert [n.op_type for n in once.graph.node] == ["Conv", "PRelu", "ConvTranspose", "Clip"]
    np.testing.assert_allclose(run(once)[0], run(before)[0], atol=1e-5)
    twice = passes.simplify(once)
    for node in [*once.graph.node, *twice.graph.node]:
        node.ClearField("doc_string")
    assert twice.SerializeToString() == once.SerializeToString()


def test_every_pass_has_a_picture_and_is_registered():
    files = {m for m in dir(passes) if hasattr(getattr(passes, m), "run") and m != "canonical"}
    assert files == {rewrite.__name__.rpartition(".")[2] for rewrite in passes.PASSES}
    for rewrite in passes.PASSES:
        assert "→" in rewrite.__doc__, rewrite.__name__
