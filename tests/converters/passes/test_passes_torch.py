"""Rewrites of what PyTorch exports: crops of nothing, replaced channels, normalisation by groups."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx", reason="the converter needs onnx")

from kit.passes import model, rewritten, weights

from cvsr_converters.passes.simplify import group_norm, scatter_channels, whole_slice


def ints(*numbers):
    return np.array(numbers, np.int64)


def test_whole_slice_goes():
    body = "a = Relu(x) b = Slice(a, s, e, axes, steps) y = Tanh(b)"
    before = model(body, s=ints(0, 0), e=ints(6, 10), axes=ints(2, -1), steps=ints(1, 1))
    assert rewritten(whole_slice, before) == ["Relu", "Tanh"]


@pytest.mark.parametrize(("start", "end", "step"), [(1, 10, 1), (0, 9, 1), (0, 1000, 1), (0, 10, 2)])
def test_slice_that_cuts_here_or_elsewhere_stays(start, end, step):
    out = (1, 4, 6, len(range(start, min(end, 10), step)))
    body = "a = Relu(x) b = Slice(a, s, e, axes, steps) y = Tanh(b)"
    before = model(body, out=out, s=ints(start), e=ints(end), axes=ints(3), steps=ints(step))
    rewritten(whole_slice, before, changes=False)


def test_group_norm_without_reshapes():
    body = "f = Reshape(x, to) n = InstanceNormalization<epsilon = 0.01>(f, s, b) y = Reshape(n, back)"
    before = model(body, to=ints(0, 2, -1), s=weights(2), b=weights(2), back=ints(1, 4, 6, 10))
    assert "Reshape" not in rewritten(group_norm, before)


def test_group_norm_whose_result_has_another_shape_stays():
    body = "f = Reshape(x, to) n = InstanceNormalization(f, s, b) y = Reshape(n, back)"
    before = model(body, out=(1, 4, 10, 6), to=ints(0, 2, -1), s=weights(2), b=weights(2), back=ints(1, 4, 10, 6))
    rewritten(group_norm, before, changes=False)


@pytest.mark.parametrize(("first", "slices"), [(0, 1), (1, 2), (2, 1)])
def test_replaced_channels_are_a_concat(first, slices):
    body = "c = Conv(x, w) b = ScatterND(x, i, c) y = Tanh(b)"
    indices = np.array([[[0, first], [0, first + 1]]])
    before = model(body, i=indices, w=weights(2, 4, 1, 1))
    assert rewritten(scatter_channels, before) == ["Conv", *["Slice"] * slices, "Concat", "Tanh"]


@pytest.mark.parametrize("channels", [(0, 2), (1, 0)])
def test_replaced_channels_out_of_order_stay(channels):
    body = "c = Conv(x, w) b = ScatterND(x, i, c) y = Tanh(b)"
    indices = np.array([[[0, channel] for channel in channels]])
    rewritten(scatter_channels, model(body, i=indices, w=weights(2, 4, 1, 1)), changes=False)
