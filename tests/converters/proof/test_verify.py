"""The proof must fail for what is wrong, and survive what crashes."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the converter needs onnx")
cv2 = pytest.importorskip("cv2")

from onnx import numpy_helper, parser
from onnx.reference import ReferenceEvaluator

from cvsr.errors import ModelError
from cvsr_converters.proof import verify as module
from cvsr_converters.proof.verify import Report, Row, distance, verify
from cvsr_converters.targets import ops

random = np.random.default_rng(5)
posix = pytest.mark.skipif(sys.platform == "win32", reason="a shell script plays the interpreter")


def weights(*shape):
    return random.normal(size=shape).astype(np.float32)


def model(body, channels=4, out=4, side=64, **constants):
    """Return the ONNX model of a graph in ONNX's text form, from input (1, channels, 64, 64) to output."""
    dims = f"(float[1,{channels},64,64] input) => (float[1,{out},{side},{side}] output)"
    result = parser.parse_model(f'<ir_version: 7, opset_import: ["": 13]> g {dims} {{ {body} }}')
    result.graph.initializer.extend(numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items())
    return result


def original(onnx_model):
    """Return the graph itself, free of the fixed size, as the function to compare with."""
    free = onnx.ModelProto.FromString(onnx_model.SerializeToString())
    for info in [*free.graph.input, *free.graph.output]:
        for number, dim in enumerate(info.type.tensor_type.shape.dim[2:]):
            dim.dim_param = f"{info.name}{number}"
    session = ReferenceEvaluator(free)
    return lambda x: session.run(None, {"input": x})[0]


CONV = (
    "a = Conv<kernel_shape = [3, 3], pads = [1, 1, 1, 1]>(input, w, b) output = Relu(a)",
    weights(4, 4, 3, 3),
    weights(4),
)


@pytest.fixture(scope="module")
def conv():
    return model(CONV[0], w=CONV[1], b=CONV[2])


def test_verify_of_a_right_file(conv):
    report = verify(conv.SerializeToString(), original(conv))
    assert report.ok
    assert {row.result for row in report.rows} == {"ok"}
    assert report.rows[0].runtime.startswith(("onnx.reference", "onnxruntime"))
    assert [r.engine for r in report.rows[1:]] == (
        ["classic", "new"] if hasattr(cv2.dnn, "ENGINE_NEW") else ["classic"]
    )
    assert all(row.runtime == f"OpenCV {cv2.__version__}" and row.ms > 0 for row in report.rows[1:])
    assert max(row.error for row in report.rows) < 1e-5


def test_verify_of_one_wrong_weight(conv):
    bad = CONV[1].copy()
    bad[2, 1, 0, 0] += 0.01
    report = verify(model(CONV[0], w=bad, b=CONV[2]).SerializeToString(), original(conv))
    assert not report.ok
    assert {row.result for row in report.rows} == {"wrong"}
    assert "A, B, A" in report.rows[1].note


def test_verify_of_a_graph_that_opencv_refuses():
    body = 'output = Resize<mode = "cubic", coordinate_transformation_mode = "align_corners">(input, , s)'
    onnx_model = model(body, side=128, s=np.array([1, 1, 2, 2], np.float32))
    rows = verify(onnx_model.SerializeToString(), original(onnx_model)).rows
    classic = next(row for row in rows if row.engine == "classic")
    assert classic.result == "error"
    assert "error" in classic.note
    assert "\n" not in classic.note


@posix
@pytest.mark.parametrize(
    ("script", "note"),
    [
        ("kill -SEGV $$", "crashed: SIGSEGV"),
        ("echo Traceback >&2; echo 'ModuleNotFoundError: no cv2' >&2; exit 1", "ModuleNotFoundError: no cv2"),
        ("exit 3", "exit code 3"),
        ("exit 0", "it ended without a result"),
        ("sleep 60", "no answer in 1 s"),
    ],
)
def test_verify_survives_the_child(conv, tmp_path, monkeypatch, script, note):
    python = tmp_path / "env" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    monkeypatch.setattr(module, "TIMEOUT", 1 if "sleep" in script else 300)
    (row,) = module._in_opencv(python, tmp_path, None, 1e-4)
    assert (row.result, row.note, row.runtime) == ("error", note, "OpenCV of env")


def test_verify_names_an_interpreter_that_is_not_there(tmp_path):
    (row,) = module._in_opencv(tmp_path / "no" / "bin" / "python", tmp_path, None, 1e-4)
    assert row.result == "error"
    assert "cannot start" in row.note


def test_verify_needs_one_output(conv):
    two = onnx.ModelProto.FromString(conv.SerializeToString())
    two.graph.output.add().CopyFrom(two.graph.output[0])
    two.graph.output[1].name = "a"
    with pytest.raises(ValueError, match="one output, not 2"):
        verify(two.SerializeToString(), original(conv))


def test_verify_of_two_inputs_and_a_host_that_finishes():
    """The file gives half of the sum; the host doubles it."""
    text = """<ir_version: 7, opset_import: ["": 13]> g (float[1,2,64,64] a, float[1,2,64,64] b)
        => (float[1,2,64,64] y) { c = Add(a, b) d = Relu(c) y = Mul(d, half) }"""
    onnx_model = parser.parse_model(text)
    onnx_model.graph.initializer.append(numpy_helper.from_array(np.float32(0.5), "half"))

    def draw(size, random):
        return [random.random((1, 2, *size)).astype(np.float32) for _ in range(2)]

    data = onnx_model.SerializeToString()
    report = verify(data, lambda a, b: a + b, draw=draw, finish=lambda output, blobs: output * 2)
    assert report.ok, report.markdown()
    assert not verify(data, lambda a, b: a + 2 * b, draw=draw, finish=lambda output, blobs: output * 2).ok


def test_distance():
    wanted = np.array([0.0, 10.0])
    assert distance(wanted, wanted) == 0
    assert distance(np.array([0.0, 9.0]), wanted) == pytest.approx(0.1)
    assert distance(np.array([0.0, np.nan]), wanted) == float("inf")
    assert distance(np.array([[0.0, 10.0]]), wanted) == float("inf")


def test_report():
    good, bad = (
        Row("OpenCV 4.14.0", "classic", "ok", 1e-7, 2.5),
        Row("OpenCV 5.0.0", "new", "error", note="crashed: SIGSEGV"),
    )
    report = Report("net", rows=[good, bad])
    assert not report.ok
    assert Report("net", rows=[good]).ok
    assert not Report("net", rows=[Row("onnxruntime 1", "", "ok", 0.0)]).ok, "OpenCV itself must have been tried"
    lines = report.markdown().splitlines()
    assert lines[2] == "| OpenCV 4.14.0 | classic | ok | 1.0e-07 | 2.50 |  |"
    assert lines[3] == "| OpenCV 5.0.0 | new | error |  |  | crashed: SIGSEGV |"
    assert json.loads(report.json())["rows"][1]["note"] == "crashed: SIGSEGV"


# --- the list of allowed operations

# each in a net of its own kind; together they hold the whole list
CHAINS = {
    "arithmetic": (
        """a = Add(input, c) b = Sub(a, input) d = Mul(b, s) e = Neg(d) f = Abs(e) g = Sqrt(f) h = Exp(g) i = Log(h)
           j = Div(i, two) k = Pow(j, two) l = Max(k, a) m = Min(l, h) n = Reciprocal(h) o = Add(m, n) p = Floor(o)
           output = Sub(o, p)""",
        {"c": weights(1, 4, 1, 1), "s": np.float32(0.37), "two": np.float32(2)},
    ),
    "activations": (
        """a = Relu(input) b = LeakyRelu<alpha = 0.2>(input) c = PRelu(input, slope) d = Sigmoid(input) e = Tanh(a)
           f = Elu(b) g = Selu(c) h = Softplus(d) i = Softsign(e) j = HardSigmoid(f) k = Erf(g) l = Softmax<axis = 1>(h)
           m = Add(i, j) n = Add(k, l) output = Add(m, n)""",
        {"slope": weights(4, 1, 1)},
    ),
    "layers": (
        """a = Conv<kernel_shape = [3, 3], pads = [1, 1, 1, 1]>(input, w, b)
           c = BatchNormalization<momentum = 1.0>(a, b, b, b, v)
           d = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(c)
           e = AveragePool<kernel_shape = [2, 2], strides = [2, 2]>(c)
           f = Concat<axis = 1>(d, e) g, h = Split<axis = 1>(f, n) i = Slice(f, from, to, one)
           j = Add(g, h) k = Add(i, j)
           l = Resize<mode = "nearest", coordinate_transformation_mode = "asymmetric", nearest_mode = "floor">(k, , s)
           m = ConvTranspose<kernel_shape = [2, 2], strides = [2, 2]>(k, u, b)
           o = Pad<mode = "reflect">(m, p) q = Conv<kernel_shape = [3, 3]>(o, w, b) r = GlobalAveragePool(q)
           t = Add(l, q) x = Transpose<perm = [0, 2, 3, 1]>(t) y = Relu(x) z = Transpose<perm = [0, 3, 1, 2]>(y)
           output = Mul(z, r)""",
        {
            "w": weights(4, 4, 3, 3), "b": weights(4), "v": weights(4) ** 2 + 1, "u": weights(4, 4, 2, 2),
            "n": np.array([4, 4]), "from": np.array([2]), "to": np.array([6]), "one": np.array([1]),
            "s": np.array([1, 1, 2, 2], np.float32), "p": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
        },
    ),
    "more of them": (
        """a = Ceil(input) b = Celu<alpha = 0.5>(input) c = Cos(input) d = GlobalMaxPool(input) e = LRN<size = 3>(input)
           f = LogSoftmax<axis = 1>(input) g = Round(b) h = Sign(f) i = Sin(f) j = ThresholdedRelu<alpha = 0.5>(input)
           k = Sum(a, b, c) l = Sum(e, f, g) m = Sum(h, i, j) n = Sum(k, l, m) output = Mul(n, d)""",
        {},
    ),
    "since 4.8": (
        """a = Clip(input, low, high) b = Greater(a, half) c = Less(input, half) d = Equal(a, high) e = Where(b, a, x)
           f = Where(c, e, input) g = Where(d, x, f) s = ReduceSum(g, axes) t = Mul(s, small) u = Mul(g, t)
           v = Gather<axis = 1>(u, order) w = Tile(v, twice) z = Slice(w, one, five, one) p = Reshape(z, flat)
           q = Transpose<perm = [1, 0, 2, 3]>(p) output = Transpose<perm = [1, 0, 2, 3]>(q)""",
        {
            "low": np.float32(0.2), "high": np.float32(0.7), "half": np.float32(0.5), "x": weights(1, 4, 1, 1),
            "small": np.float32(1e-3), "axes": np.array([2, 3]), "order": np.array([2, 0, 1, 3]),
            "twice": np.array([1, 2, 1, 1]), "one": np.array([1]), "five": np.array([5]),
            "flat": np.array([-1, 4, 0, 0]),
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHAINS)
def test_allowed_operations_are_right_in_this_opencv(name):
    if name == "since 4.8" and tuple(map(int, cv2.__version__.split(".")[:2])) < (4, 8):
        pytest.skip("this OpenCV is older")
    body, constants = CHAINS[name]
    onnx_model = model(body, **constants)
    report = verify(onnx_model.SerializeToString(), original(onnx_model), sizes=((40, 56), (64, 48), (36, 52)))
    assert report.ok, report.markdown()


def test_the_chains_hold_every_allowed_operation():
    used = {name: {node.op_type for node in model(body, **c).graph.node} for name, (body, c) in CHAINS.items()}
    assert set.union(*used.values()) == ops.ALLOWED["4.8"]
    del used["since 4.8"]
    assert set.union(*used.values()) == ops.ALLOWED["4.6"]


def test_check_names_the_layer_and_a_way_out():
    onnx_model = model("output = Clip(input, low)", low=np.float32(0))
    onnx_model.graph.node[0].doc_string = "head/limit"
    ops.check(onnx_model)
    with pytest.raises(ModelError, match=r"'head/limit'.*Clip.*4\.6.*4\.8"):
        ops.check(onnx_model, oldest="4.6")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("output = ReduceSum(input, one)", "ReduceSum over some axes"),
        ('output = Resize<mode = "cubic">(input, , double)', "Resize with mode cubic"),
        ('output = Conv<auto_pad = "SAME_UPPER", strides = [2, 2]>(input, w)', "Conv with a stride"),
    ],
)
def test_check_knows_options_that_are_wrong(body, message):
    constants = {"one": np.array([1]), "double": np.array([1, 1, 2, 2], np.float32), "w": weights(4, 4, 3, 3)}
    with pytest.raises(ModelError, match=message):
        ops.check(model(body, **constants))
