"""The rewrite that recognises what operations that only move numbers do together: equal numbers before and after."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the converter needs onnx")
pytest.importorskip("onnxruntime", reason="the graphs run in onnxruntime")

from kit.passes import model, ops, rewritten, rewritten_model

from cvsr_converters import passes
from cvsr_converters.passes.simplify import recognize_moves


def chain(*steps, final="y"):
    """Return the body and constants of Reshapes (a list) and Transposes (a string of digits) in a row."""
    lines, constants, value = [], {}, "x"
    for number, step in enumerate(steps):
        target = final if number == len(steps) - 1 else f"t{number}"
        if isinstance(step, str):
            lines.append(f"{target} = Transpose<perm = [{', '.join(step)}]>({value})")
        else:
            constants[f"s{number}"] = np.array(step)
            lines.append(f"{target} = Reshape({value}, s{number})")
        value = target
    return " ".join(lines), constants


CRD = [1, 3, 2, 2, 6, 10], "014253", [1, 3, 12, 20]
MOVES = {
    "PixelShuffle": (12, (1, 3, 12, 20), CRD, "DepthToSpace"),
    "DCR": (12, (1, 3, 12, 20), ([1, 2, 2, 3, 6, 10], "034152", [1, 3, 12, 20]), "DepthToSpace"),
    "five axes": (4, (1, 1, 12, 20), ([1, 2, 2, 6, 10], "03142", [1, 1, 12, 20]), "DepthToSpace"),
    "channels last": (
        12, (1, 12, 20, 3), ("0231", [1, 6, 10, 2, 2, 3], "013245", [1, 12, 20, 3]), "DepthToSpace Transpose",
    ),
    "in two steps": (
        12, (1, 3, 12, 20),
        ("0231", [1, 6, 10, 2, 6], "01324", [1, 6, 2, 10, 6], [1, 12, 10, 2, 3], [1, 12, 20, 3], "0312"),
        "DepthToSpace",
    ),
    "PixelUnshuffle": (4, (1, 16, 3, 5), ([1, 4, 3, 2, 5, 2], "013524", [1, 16, 3, 5]), "Conv"),
    "SpaceToDepth": (4, (1, 16, 3, 5), ([1, 4, 3, 2, 5, 2], "035124", [1, 16, 3, 5]), "SpaceToDepth"),
    "channel shuffle": (4, (1, 4, 6, 10), ([1, 2, 2, 6, 10], "02134", [1, 4, 6, 10]), "Conv"),
    "nothing": (4, (1, 4, 6, 10), ([4, 6, 10], [1, 4, 60], [1, 4, 6, 10]), "Identity"),
}  # fmt: skip


@pytest.mark.parametrize("name", MOVES)
def test_moves(name):
    channels, out, steps, expected = MOVES[name]
    body, constants = chain(*steps)
    after = rewritten_model(recognize_moves, model(body, channels=channels, out=out, **constants))
    assert [op for op in ops(after) if op != "Transpose" or "last" in name] == expected.split() or (
        name == "channels last" and ops(after)[-2:] == expected.split()
    )


REPEATS = {
    "tile": "a = Reshape(x, s) b = Tile(a, r) y = Reshape(b, t)",
    "expand": "a = Reshape(x, s) b = Expand(a, e) y = Reshape(b, t)",
    "concat": "a = Reshape(x, s) b = Concat<axis = 3>(a, a) d = Concat<axis = 5>(b, b) y = Reshape(d, t)",
    "gather": "a = Gather<axis = 2>(x, g) y = Gather<axis = 3>(a, h)",
}


@pytest.mark.parametrize("name", REPEATS)
def test_moves_that_repeat_pixels(name):
    body = REPEATS[name]
    constants = {"t": [1, 4, 12, 20], "g": np.arange(6).repeat(2), "h": np.arange(10).repeat(2)}
    constants |= {"s": [1, 4, 6, 1, 10, 1], "r": [1, 1, 1, 2, 1, 2], "e": [1, 4, 6, 2, 10, 2]}
    used = {key: np.array(value) for key, value in constants.items() if f" {key})" in body}
    assert rewritten(recognize_moves, model(body, out=(1, 4, 12, 20), **used)) == ["Resize"]


def test_moves_of_a_shuffle_for_each_channel():
    body = """a, b, d = Split<axis = 1>(x) e = DepthToSpace<blocksize = 2>(a) f = DepthToSpace<blocksize = 2>(b)
              h = DepthToSpace<blocksize = 2>(d) y = Concat<axis = 1>(e, f, h)"""
    assert rewritten(recognize_moves, model(body, channels=12, out=(1, 3, 12, 20))) == ["DepthToSpace"]


@pytest.mark.parametrize(
    ("steps", "out"),
    [
        (([1, 2, 2, 3, 6, 10], "043152", [1, 3, 12, 20]), (1, 3, 12, 20)),  # an order of nobody
        (([3, 4, 6, 10], "0132", [1, 12, 10, 6]), (1, 12, 10, 6)),
        (([1, 12, 10, 6],), (1, 12, 10, 6)),
        (("0132",), (1, 12, 10, 6)),  # a plain Transpose
    ],
)
def test_moves_that_are_nothing_known_stay(steps, out):
    body, constants = chain(*steps)
    rewritten(recognize_moves, model(body, channels=12, out=out, **constants), changes=False)


def test_moves_of_two_values_stay():
    body = "a = Relu(x) b = Concat<axis = 2>(x, a) y = Reshape(b, s)"
    rewritten(recognize_moves, model(body, out=(1, 4, 6, 20), s=np.array([1, 4, 6, 20])), changes=False)


@pytest.mark.parametrize(
    ("body", "order"),
    [
        ("u = Unsqueeze(x, two) t = Tile(u, k) y = Reshape(t, r)", np.arange(4).repeat(3)),
        ("u = Unsqueeze(x, two) t = Expand(u, m) y = Reshape(t, r)", np.arange(4).repeat(3)),
        ("u = Unsqueeze(x, one) t = Tile(u, j) y = Reshape(t, r)", np.tile(np.arange(4), 3)),
        ("y = Slice(x, three, far, one, back)", [3, 2, 1, 0]),
        ("y = Gather<axis = 1>(x, picked)", [2, 0, 0]),
    ],
)
def test_moves_of_channels_are_a_convolution(body, order):
    constants = {
        "two": [2], "k": [1, 1, 3, 1, 1], "m": [1, 4, 3, 6, 10], "r": [1, -1, 6, 10], "one": [1], "j": [1, 3, 1, 1, 1],
        "three": [3], "far": [-1000], "back": [-1], "picked": [2, 0, 0],
    }  # fmt: skip
    used = {name: np.array(value) for name, value in constants.items() if f" {name}" in body}
    after = rewritten_model(recognize_moves, model(body, out=(1, len(order), 6, 10), **used))
    assert ops(after) == ["Conv"]
    kernel = onnx.numpy_helper.to_array(after.graph.initializer[0])
    np.testing.assert_array_equal(kernel[:, :, 0, 0], np.eye(4)[order])


def test_moves_of_channels_that_are_last_are_a_convolution_too():
    body = """t = Transpose<perm = [0, 2, 3, 1]>(x) r = Relu(t) s = Slice(r, three, far, three, back)
              y = Transpose<perm = [0, 3, 1, 2]>(s)"""
    before = model(body, three=np.array([3]), far=np.array([-1000]), back=np.array([-1]))
    assert "Slice" not in rewritten(recognize_moves, before)


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize(("rows", "columns"), [(3, 2), (1, 2), (2, 1)])
def test_moves_that_repeat_rows_and_columns_by_different_numbers(channels, rows, columns):
    body = "t = Transpose<perm = [0, 2, 3, 1]>(x) a = Reshape(t, s) b = Tile(a, r) y = Reshape(b, o)"
    out = (1, 6 * rows, 10 * columns, channels)
    constants = {"s": [1, 6, 1, 10, 1, channels], "r": [1, 1, rows, 1, columns, 1], "o": out}
    before = model(body, channels=channels, out=out, **{name: np.array(v) for name, v in constants.items()})
    after = rewritten_model(recognize_moves, before)
    scales = next(onnx.numpy_helper.to_array(i) for i in after.graph.initializer)
    assert "Resize" in ops(after)
    assert "Conv" not in ops(after)  # rows are no channels
    assert scales.tolist() == [1, 1, rows, columns]


def test_moves_of_what_the_largest_networks_have():
    """The second enlargement of ESRGAN x4, at the larger of the sizes at which networks are traced."""
    shape = "float[1,64,160,112]"
    text = f"""<ir_version: 7, opset_import: ["": 13]> g ({shape} x) => (float[1,64,320,224] y)
        {{ a = Unsqueeze(x, n) b = Tile(a, r) y = Reshape(b, o) }}"""
    before = onnx.parser.parse_model(text)
    constants = {"n": [3, 5], "r": [1, 1, 1, 2, 1, 2], "o": [1, 64, 320, 224]}
    before.graph.initializer.extend(onnx.numpy_helper.from_array(np.array(v), n) for n, v in constants.items())
    graph = passes.Graph(before)
    assert passes.apply(recognize_moves, graph)
    assert [n.op for n in graph.nodes if n.outputs == ["y"]] == ["Resize"]
