"""Rewrites of what enlarges: equal numbers before and after where they fit, untouched where they do not."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the converter needs onnx")
pytest.importorskip("onnxruntime", reason="the graphs run in onnxruntime")

from kit.passes import attributes, model, ops, rewritten, rewritten_model, run, weights

from cvsr_converters import passes
from cvsr_converters.passes.lower import average_pool, cubic, shuffle, space_to_depth, subpixel
from cvsr_converters.passes.simplify import depth_to_space, resize, shuffle_last

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
    fired = passes.apply(resize, graph)
    after = graph.to_model()
    assert (attributes(after, "Resize").get("nearest_mode") == b"floor") is (same or rounding == "floor")
    assert fired is (same and (place, rounding) != ("asymmetric", "floor"))
    if same:
        np.testing.assert_array_equal(run(after)[0], x.repeat(scale, 2).repeat(scale, 3))


def test_resize_turns_sizes_into_scales():
    before = model('y = Resize<mode = "linear">(x, , , s)', out=(1, 4, 12, 30), s=np.array([1, 4, 12, 30]))
    graph = passes.Graph(before)
    assert passes.apply(resize, graph)
    after = graph.to_model()
    assert len(after.graph.node[0].input) == 3
    np.testing.assert_allclose(run(after)[0], run(before)[0], atol=1e-6)


def test_resize_leaves_sizes_that_are_no_simple_multiple():
    before = model('y = Resize<mode = "linear">(x, , , s)', out=(1, 4, 11, 17), s=np.array([1, 4, 11, 17]))
    rewritten(resize, before, changes=False)


@pytest.mark.parametrize(("mode", "channels"), [("CRD", 1), ("DCR", 1), ("CRD", 3), ("DCR", 3)])
def test_shuffle_names_no_size_of_the_image(mode, channels):
    body, shape = f'y = DepthToSpace<blocksize = 2, mode = "{mode}">(x)', (1, channels, 12, 20)
    before = model(body, channels=4 * channels, out=shape)
    after = rewritten_model(shuffle, before)
    assert [n.op_type for n in after.graph.node] == ["Reshape", "Transpose"] * 3
    np.testing.assert_array_equal(run(after)[0], run(before)[0])
    for info in (after.graph.input[0], after.graph.output[0]):
        info.type.tensor_type.shape.dim[2].dim_value += 2 * (1 if info.name == "x" else 2)
    assert run(after)[0].shape == (1, channels, 16, 20)


def test_shuffle_of_unknown_channels_stays():
    before = model("y = DepthToSpace<blocksize = 2>(x)", channels="C", out=(1, "D", 12, 20))
    rewritten(shuffle, before, changes=False)


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


def test_space_to_depth_is_a_strided_convolution():
    before = model("y = SpaceToDepth<blocksize = 2>(x)", out=(1, 16, 3, 5))
    after = rewritten_model(space_to_depth, before)
    assert ops(after) == ["Conv"]
    np.testing.assert_array_equal(run(after)[0], run(before)[0])
    rewritten(space_to_depth, model("y = Relu(x)"), changes=False)


@pytest.mark.parametrize("body", ["b = Relu(a)", "b = Clip(a, low, high)", "b = PRelu(a, slope)", "b = Add(a, row)"])
def test_shuffle_last(body):
    constants = {"low": np.float32(0), "high": np.float32(1), "slope": weights(3, 1, 1), "row": weights(1, 1, 12, 1)}
    constants = {name: array for name, array in constants.items() if name in body}
    before = model(
        f"a = DepthToSpace<blocksize = 2>(x) {body} y = Tanh(b)", channels=12, out=(1, 3, 12, 20), **constants
    )
    if "row" in body:
        rewritten(shuffle_last, before, changes=False)
    else:
        assert rewritten(shuffle_last, before)[-1] == "DepthToSpace"


@pytest.mark.parametrize(
    "body",
    [
        "b = Relu(a) y = Conv(b, w)",  # in the middle of a network
        "b = Relu(a) y = Add(a, b)",
        "y = Softmax<axis = 1>(a)",
        "y = Add(a, c)",  # makes three channels of one
    ],
)
def test_shuffle_stays_in_the_middle(body):
    channels = 4 if "c)" in body else 12
    before = model(
        f"a = DepthToSpace<blocksize = 2>(x) {body}",
        channels=channels, out=(1, 3, 12, 20), w=weights(3, 3, 1, 1), c=weights(1, 3, 1, 1),
    )  # fmt: skip
    rewritten(shuffle_last, before, changes=False)


# --- enlarging by other means


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("more", ["", "cubic_coeff_a = -0.5", "exclude_outside = 1"])
@pytest.mark.parametrize("place", ["half_pixel", "asymmetric"])
def test_cubic(scale, more, place):
    attrs = ", ".join(filter(None, ['mode = "cubic"', f'coordinate_transformation_mode = "{place}"', more]))
    scales = np.array([1, 1, scale, scale], np.float32)
    before = model(f"y = Resize<{attrs}>(x, , s)", out=(1, 4, 6 * scale, 10 * scale), s=scales)
    # TensorFlow's places are rounded, which ONNX's are not
    assert "Resize" not in rewritten(cubic, before, tolerance=3e-3 if "outside" in more and scale == 3 else 1e-5)


@pytest.mark.parametrize(
    ("attrs", "scale"),
    [
        ('mode = "cubic", coordinate_transformation_mode = "align_corners"', 2),  # moves from pixel to pixel
        ('mode = "cubic"', 1.5),
        ('mode = "linear"', 2),
    ],
)
def test_cubic_leaves_the_rest(attrs, scale):
    out = (1, 4, int(6 * scale), int(10 * scale))
    rewritten(
        cubic, model(f"y = Resize<{attrs}>(x, , s)", out=out, s=np.array([1, 1, scale, scale], np.float32)), False
    )


@pytest.mark.parametrize(
    ("kernel", "stride", "attrs"),
    [
        (2, 2, ""),
        (4, 2, "pads = [1, 1, 1, 1]"),
        (9, 2, "pads = [4, 4, 4, 4], output_padding = [1, 1]"),
        (9, 3, "pads = [3, 3, 3, 3]"),
        (9, 4, "pads = [2, 3, 3, 2]"),
        (3, 2, "pads = [0, 0, 1, 1]"),
        (8, 2, "pads = [5, 6, 1, 0]"),
        (2, 3, "output_padding = [1, 1]"),
    ],
)
def test_subpixel(kernel, stride, attrs):
    attrs = ", ".join(filter(None, [f"strides = [{stride}, {stride}]", attrs]))
    out = (1, 3, 6 * stride, 10 * stride)
    before = model(f"y = ConvTranspose<{attrs}>(x, w, b)", out=out, w=weights(4, 3, kernel, kernel), b=weights(3))
    after = rewritten_model(subpixel, before)
    assert ops(after) == ["Conv", "DepthToSpace"]
    assert max(attributes(after, "Conv")["kernel_shape"]) <= -(-kernel // stride) + 1


@pytest.mark.parametrize(
    "attrs",
    ["strides = [2, 2], pads = [0, 0, 1, 1]", "strides = [2, 2], group = 2", "strides = [1, 1]", "strides = [2, 1]"],
)
def test_subpixel_leaves_what_is_no_multiple_of_the_size(attrs):
    before = model(f"y = ConvTranspose<{attrs}>(x, w)", out=("N", "C", "H", "W"), w=weights(4, 2, 4, 4))
    rewritten(subpixel, before, changes=False)


def test_average_pool_pads_by_itself_and_pads_never_crop():
    body = "y = AveragePool<kernel_shape = [3, 3], pads = [1, 0, 1, 2], count_include_pad = 1>(x)"
    assert rewritten(average_pool, model(body)) == ["Pad", "AveragePool"]
    rewritten(average_pool, model("y = AveragePool<kernel_shape = [3, 3], pads = [1, 1, 1, 1]>(x)"), changes=False)


def test_average_pool_crops_by_a_slice():
    before = model("y = Pad(x, p)", out=(1, 4, 3, 9), p=np.array([0, 0, -1, 0, 0, 0, -2, -1]))
    assert rewritten(average_pool, before) == ["Slice"]
    before = model("y = Pad(x, p)", out=(1, 4, 5, 11), p=np.array([0, 0, -1, 0, 0, 0, 0, 1]))
    rewritten(average_pool, before, changes=False)
