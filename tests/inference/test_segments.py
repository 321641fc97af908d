"""Cutting deep networks into segments: where, and which networks are not cut."""

from __future__ import annotations

import numpy as np
import pytest
from kit import deepnets, onnxlite
from kit.deepnets import DeepNet

import cvsr
from cvsr.inference import segment_nets, segments
from cvsr.modelfiles import onnx_reader


def test_cuts_lie_between_blocks(deep):
    parts = segments.cut(deep["residual"].read_bytes(), 20)
    assert [part.shuffle for part in parts] == [0] * 5 + [2, 0]
    assert [len(part.inputs) for part in parts] == [1, 1, 1, 1, 2, 1, 1], "the skip is read once, at the end"
    assert [part.radius for part in parts] == [5, 4, 4, 4, 2, 0, 1]
    for part in parts:
        facts = onnx_reader.read_onnx(part.onnx)
        assert {name for name, _ in facts.inputs} == set(part.inputs)
        assert [name for name, _ in facts.outputs] == list(part.outputs)


def test_activations_stay_with_their_convolutions(deep):
    parts = segments.cut(deep["chain"].read_bytes(), 19)
    assert sum(part.radius for part in parts) == 19
    assert all(onnx_reader.read_onnx(part.onnx).ops[-1] == "Relu" for part in parts[:-1])


def test_a_network_that_cannot_be_cut_runs_in_tiles(tmp_path, photo):
    dense, order = DeepNet(), DeepNet()
    first = [dense.conv() for _ in range(17)]
    dense.add(first[0])  # every map is needed until the end
    for each in first[1:-1]:
        dense.add(each)
    dense.conv(4)
    for _ in range(17):
        order.conv()
    order.conv(8)
    order.shuffle("DCR")
    order.conv(1)
    image = photo("astronaut")[:50, :60]
    found = {
        "dense": dense.write(tmp_path / "dense_x2.onnx", 18, tail="subpixel"),
        "order": order.write(tmp_path / "order_x2.onnx", 19, 128, tail="image"),
    }
    for path in found.values():
        upscaler = cvsr.Upscaler(path, 2, exact=True)
        assert segment_nets.in_segments(upscaler._execution.network(2)) is None
        assert np.array_equal(upscaler(image), cvsr.Upscaler(path, 2, exact=True, tile=0)(image))


def test_a_convolution_that_changes_the_size_is_in_the_last_segment():
    net = DeepNet()
    for _ in range(13):
        net.conv()
    last = net.conv()
    net.nodes[-1] = onnxlite.node("Conv", ["t12", "w" + last], last, kernel_shape=[3, 3], pads=[0] * 4)
    for _ in range(4):
        net.conv()
    data = onnxlite.model(net.nodes, net.weights, {"x": (1, 1, 64, 64)}, {net.here: (1, deepnets.WIDTH, 62, 62)}, {})
    assert [part.radius for part in segments.cut(data, 18)] == [4, 4, 4, 6]


def test_shallow_networks_and_requested_tiles_are_not_cut(deep):
    assert segment_nets.in_segments(cvsr.Upscaler("cvsr-small", 2)._execution.network(2)) is None
    asked = cvsr.Upscaler(deep["chain"], 2, tile=32)._execution
    assert asked.segment_nets(asked.network(2)) is None


def bytes_of(net: DeepNet, inputs=("x",), outputs=()) -> bytes:
    shapes = dict.fromkeys(inputs, (1, net.channels["x"], 64, 64))
    ends = {name: (1, net.channels[name], 64, 64) for name in outputs or [net.here]}
    return onnxlite.model(net.nodes, net.weights, shapes, ends, {})


def plain(depth: int) -> DeepNet:
    net = DeepNet()
    for _ in range(depth):
        net.conv()
        net.relu()
    return net


@pytest.mark.parametrize(
    ("depth", "radii"),
    [(4, []), (5, []), (7, []), (8, [4, 4]), (9, [4, 4, 1]), (11, [4, 4, 3]), (12, [4] * 3), (13, [4] * 3 + [1])],
)
def test_segments_have_four_convolutions_and_the_last_the_rest(depth, radii):
    parts = segments.cut(bytes_of(plain(depth)), depth)
    assert [part.radius for part in parts] == radii
    assert all(part.channels == (deepnets.WIDTH,) and not part.shuffle for part in parts)


@pytest.mark.parametrize(("convolutions", "count"), [(1, 12), (2, 6), (3, 4), (5, 3), (6, 2), (7, 0)])
def test_the_number_of_convolutions_of_a_segment_can_be_chosen(convolutions, count):
    assert len(segments.cut(bytes_of(plain(12)), 12, convolutions=convolutions)) == count


@pytest.mark.parametrize("name", deepnets.BUILT)
def test_segments_read_only_maps_that_earlier_ones_have_made(deep, name):
    known, parts = {"x"}, segments.cut(deep[name].read_bytes(), 20)
    for number, part in enumerate(parts):
        later = {each for after in parts[number + 1 :] for each in after.inputs}
        assert set(part.inputs) <= known and not set(part.outputs) & known
        assert later & set(part.outputs) or number == len(parts) - 1, "nobody reads it"
        assert len(part.channels) == len(part.outputs)
        known |= set(part.outputs)
    assert len(parts[-1].outputs) == 1


def test_a_network_of_several_inputs_or_outputs_is_cut_only_for_one_output():
    net = plain(12)
    assert segments.cut(bytes_of(net, inputs=("x", "y")), 12) == []
    data = bytes_of(net, outputs=["t15", net.here])
    assert segments.cut(data, 12) == []
    assert segments.cut(data, 12, net.here)[-1].outputs == (net.here,)


def test_dilated_kernels_have_a_larger_radius():
    net = plain(12)
    net.nodes[2] = onnxlite.node(
        "Conv", ["t1", "wt2"], "t2", kernel_shape=[3, 3], pads=[2] * 4, dilations=[2, 2], strides=[1, 1]
    )
    assert [part.radius for part in segments.cut(bytes_of(net), 13)] == [5, 4, 4]


@pytest.mark.parametrize(
    "attributes", [{"strides": [2, 2], "pads": [1] * 4}, {"pads": [0, 0, 1, 1]}, {"pads": [1] * 4, "dilations": [2, 2]}]
)
def test_nothing_is_cut_after_a_convolution_that_changes_the_size(attributes):
    net = plain(24)
    net.nodes[32] = onnxlite.node("Conv", ["t31", "wt32"], "t32", kernel_shape=[3, 3], **attributes)
    assert [part.radius for part in segments.cut(bytes_of(net), 24)] == [4, 4, 4, 12]
    assert segments.cut(bytes_of(net), 25) == [], "the last segment would have most of the radius"


def test_nothing_is_cut_after_an_unknown_operation():
    net = plain(24)
    net.nodes[33] = onnxlite.node("Softmax", ["t32"], "t33")
    assert [part.radius for part in segments.cut(bytes_of(net), 24)] == [4, 4, 4, 4, 8]
