"""Rewrites of layout and size: equal numbers before and after where they fit, untouched where they do not."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the converter needs onnx")
pytest.importorskip("onnxruntime", reason="the graphs run in onnxruntime")

from passkit import attributes, model, rewritten, rewritten_model, run, weights  # noqa: E402

from cvsr_converters import passes  # noqa: E402
from cvsr_converters.passes import (  # noqa: E402
    depth_to_space,
    merge_transposes,
    reshape,
    resize,
    shuffle,
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


# --- enlarging


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("place", ["half_pixel", "asymmetric", "tf_half_pixel_for_nn"])
@pytest.mark.parametrize("rounding", ["floor", "round_prefer_floor", "round_prefer_ceil", "ceil"])
def test_resize_nearest_fires_exactly_where_it_repeats_pixels(scale, place, rounding):
    attrs = f'mode = "nearest", coordinate_transformation_mode = "{place}", nearest_mode = "{rounding}"'
    out, scales = (1, 4, 6 * scale, 10 * scale), np.array([1, 1, scale, scale], np.float32)
    before = model(f"y = Resize<{attrs}>(x, , s)", out=out, s=scales)
    x = np.random.default_rng(1).normal(size=(1, 4, 6, 10)).astype(np.float32)
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


def test_shuffle_takes_a_group_for_each_channel_where_their_planes_are_side_by_side():
    before = model('y = DepthToSpace<blocksize = 2, mode = "CRD">(x)', channels=12, out=(1, 3, 12, 20))
    after = rewritten_model(shuffle, before)
    assert attributes(after, "ConvTranspose")["group"] == 3
    np.testing.assert_array_equal(run(after)[0], run(before)[0])


def test_shuffle_of_planes_that_are_apart_is_dense():
    before = model("a = Relu(x) y = DepthToSpace<blocksize = 2>(a)", channels=12, out=(1, 3, 12, 20))
    assert rewritten(shuffle, before) == ["Relu", "ConvTranspose"]


CONV = "a = Conv<kernel_shape = [1, 1]>(x, w, b)"


@pytest.mark.parametrize("between", ["b0 = Relu(a)", "b0 = Tanh(a)", "b0 = PRelu(a, slope)", "b0 = PRelu(a, one)"])
@pytest.mark.parametrize("scale", [2, 3])
def test_depth_to_space_reorders_the_convolution(between, scale):
    planes = 3 * scale**2
    constants = {"w": weights(planes, 4, 1, 1), "b": weights(planes)}
    constants |= {"slope": weights(planes, 1, 1), "one": weights(1, 1, 1)}
    body = f"{CONV} {between} y = DepthToSpace<blocksize = {scale}>(b0)"
    after = rewritten_model(depth_to_space, model(body, out=(1, 3, 6 * scale, 10 * scale), **constants))
    assert attributes(after, "DepthToSpace")["mode"] == b"CRD"


@pytest.mark.parametrize(
    "body",
    [
        "b0 = Relu(x) y = DepthToSpace<blocksize = 2>(b0)",  # no convolution
        "b0 = Conv(x, w) b1 = Softmax<axis = 1>(b0) y = DepthToSpace<blocksize = 2>(b1)",  # channels meet
        "b0 = Conv(x, w) b1 = Relu(b0) b2 = Add(b0, b1) y = DepthToSpace<blocksize = 2>(b2)",  # has other readers
        'b0 = Conv(x, w) y = DepthToSpace<blocksize = 2, mode = "CRD">(b0)',  # is so already
        "b0 = Conv<group = 2>(x, w2) y = DepthToSpace<blocksize = 2>(b0)",
    ],
)
def test_depth_to_space_leaves_what_cannot_be_reordered(body):
    before = model(body, channels=12, out=(1, 3, 12, 20), w=weights(12, 12, 1, 1), w2=weights(12, 6, 1, 1))
    rewritten(depth_to_space, before, changes=False)
