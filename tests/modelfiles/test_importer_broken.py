"""Frozen graphs that are broken, make no sense or mean harm: a ModelError, and nothing else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit import graphdeflite as lite
from kit.onnxlite import _field as field

from cvsr.errors import ModelError
from cvsr.modelfiles import onnx_reader
from cvsr.modelfiles.tensorflow import importer

HEAD = lite.node("in", "Placeholder")
END = lite.transpose("out", "y")
W = lite.Weights()
KERNEL = W.kernel(3, 3, 1, 4)
ONE = W.kernel(1, 1, 1, 1)
BROKEN = {  # nodes between the placeholder "in" and the output, which reads "y"; what is said of them
    "a cycle": (
        lite.node("y", "Add", ["in", "z"]) + lite.node("z", "Relu", ["y"]),
        r"'y' \(Add\) reads its own result",
    ),
    "a missing node": (lite.node("y", "Relu", ["nothing"]), "'nothing'"),
    "two inputs": (
        lite.node("in2", "Placeholder") + lite.node("y", "Add", ["in", "in2"]),
        r"\(Placeholder\) is a second input besides 'in",
    ),
    "two nodes of one name": (lite.node("y", "Relu", ["in"]) * 2, "same name"),
    "a strange name": (lite.node("#0", "Relu", ["in"]), "'#0'"),
    "an unknown operation": (lite.node("y", "Softmax", ["in"]), r"'y' \(Softmax\)"),
    "too few inputs": (lite.node("y", "Add", ["in"]), "1 inputs"),
    "no weights": (lite.node("y", "Conv2D", ["in", "in"], padding="SAME", strides=[1] * 4), r"'y' \(Conv2D\)"),
    "a constant image": (lite.const("c", ONE) + lite.node("y", "Relu", ["c"]), "an image is needed"),
    "strides": (lite.conv("y", "in", KERNEL, strides=[1, 2, 2, 1]), "strides"),
    "no strides": (lite.conv("y", "in", KERNEL, strides=[1]), "strides"),
    "dilations": (lite.conv("y", "in", KERNEL, dilations=[1, 999, 999, 1]), "dilations"),
    "padding": (lite.conv("y", "in", KERNEL, padding="EXPLICIT"), "EXPLICIT"),
    "layout": (lite.conv("y", "in", KERNEL, data_format="NCHW"), "NCHW"),
    "other channels": (lite.conv("y", "in", W.kernel(3, 3, 2, 4)), "2 channels but reads 1"),
    "three axes": (lite.conv("y", "in", KERNEL[0]), "4 dimensions"),
    "a number for each pixel": (lite.binary("y", "Add", "in", np.ones((3, 1))), "shape"),
    "planes that are no square": (
        lite.conv("x", "in", KERNEL) + lite.node("y", "DepthToSpace", ["x"], block_size=3),
        "4 planes by 3",
    ),
    "a block of nothing": (lite.conv("x", "in", KERNEL) + lite.node("y", "DepthToSpace", ["x"]), "shuffles by 0"),
    "other axes": (
        lite.const("perm", np.array([0, 2, 1, 3], np.int32)) + lite.node("y", "Transpose", ["in", "perm"]),
        "axes",
    ),
    "not finite": (lite.conv("y", "in", KERNEL * np.inf), "finite"),
    "more than float32 holds": (
        lite.binary("x", "Mul", "in", 1e38) + lite.binary("y", "Mul", "x", 1e38),
        "float32",
    ),
    "a product of images": (lite.node("y", "Mul", ["in", "in"]), "two images"),
    "a comparison": (lite.conv("x", "in", ONE) + lite.node("y", "Maximum", ["in", "x"]), "compares"),
    "different shapes": (lite.conv("x", "in", KERNEL) + lite.node("y", "Add", ["in", "x"]), "different shapes"),
    "no activation": (
        lite.node("r", "Relu", ["in"]) + lite.binary("y", "Mul", "r", 0) + lite.binary("y2", "Mul", "r", -1),
        "neither a PReLU",
    ),
    "strings": (lite.binary("y", "Add", "in", ONE).replace(b"\x08\x01", b"\x08\x07", 1), "type 7"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_graph_that_makes_no_sense_is_refused(name):
    nodes, said = BROKEN[name]
    with pytest.raises(ModelError, match=said):
        importer.rewrite(HEAD + nodes + END, 1, 2)


def test_a_graph_without_an_output_is_refused():
    with pytest.raises(ModelError, match="no output"):
        importer.rewrite(HEAD, 1, 2)


def test_a_deconvolution_with_gaps_is_refused():
    with pytest.raises(ModelError, match="whole number"):
        importer.rewrite(lite.deconvolved(4, 3), 1, 4)


def test_a_tensor_must_hold_what_it_promises():
    few = lite.const("c", KERNEL).replace(KERNEL.tobytes(), KERNEL.tobytes()[:-4])
    few = few.replace(
        bytes([len(KERNEL.tobytes()) % 128 | 128, 1]), bytes([(len(KERNEL.tobytes()) - 4) % 128 | 128, 1])
    )
    one = b"".join(field(2, field(1, n)) for n in (2**20, 2**20))
    tensor = field(1, 1) + field(2, one) + field(5, np.float32(1).tobytes())
    huge = lite.node("c", "Const", value=field(8, tensor))
    for const in (few, huge):
        with pytest.raises(ModelError):
            importer.rewrite(HEAD + const + lite.node("y", "Add", ["in", "c"]) + END, 1, 2)


def test_one_number_may_stand_for_all():
    dims = b"".join(field(2, field(1, n)) for n in (1, 1, 1, 3))
    tensor = field(1, 1) + field(2, dims) + field(5, np.float32([1, 2]).tobytes())
    weights = lite.node("w", "Const", value=field(8, tensor))
    data = HEAD + weights + lite.node("y", "Conv2D", ["in", "w"], padding="SAME", strides=[1] * 4) + END
    assert np.float32([1, 2, 2]).tobytes() in importer.rewrite(data, 1, 2).onnx


def test_long_graphs_do_not_overflow_the_stack():
    chain = [lite.node(f"n{i}", "Identity", [f"n{i - 1}" if i else "in"]) for i in range(20000)]
    made = importer.rewrite(b"".join([HEAD, *chain, lite.transpose("out", "n19999")]), 1, 2)
    assert onnx_reader.read_onnx(made.onnx).ops == ["Identity"]


@given(
    family=st.sampled_from(sorted(lite.FAMILIES)),
    cut=st.floats(0, 1),
    flips=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=6),
)
def test_broken_bytes_give_a_model_error_or_a_file(family, cut, flips):
    data = bytearray(lite.FAMILIES[family])
    for place, byte in flips:
        data[int(place * (len(data) - 1))] = byte
    try:
        made = importer.rewrite(bytes(data[: round(cut * len(data))] if cut < 0.9 else data), 1, 2)
    except ModelError:
        return
    assert onnx_reader.read_onnx(made.onnx).ops
