"""ONNX files as people have them: every opset, layout and type gives the same numbers, and bad files are refused."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the converter needs onnx")
pytest.importorskip("onnxruntime", reason="ONNX files are run with onnxruntime")

import onnxruntime
from onnx import TensorProto, external_data_helper, helper, numpy_helper, parser

from cvsr.errors import ModelError
from cvsr_converters.conversion.trace import trace
from cvsr_converters.facts import Facts
from cvsr_converters.sources import Options
from cvsr_converters.sources import onnx as source

random = np.random.default_rng(3)


def weights(*shape):
    return random.normal(0, 0.3, shape).astype(np.float32)


def model(body, opset=13, x="float[1,3,H,W] x", y="float[1,C,I,J] y", **constants):
    """Return the ONNX model of a graph in ONNX's text form."""
    text = f'<ir_version: 7, opset_import: ["": {opset}]> g ({x}) => ({y}) {{ {body} }}'
    result = parser.parse_model(text)
    result.graph.initializer.extend(numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items())
    return result


def save(folder, proto, name="net.onnx"):
    path = folder / name
    path.write_bytes(proto.SerializeToString())
    return path


def check(path, options=None, size=(24, 40), atol=1e-5):
    """Read a file, trace it, and compare the graph with the file; return (the Original, the ops of the graph)."""
    original = source.read(path, options or Options())
    graph = trace(original)
    for info in [*graph.graph.input, *graph.graph.output]:
        for axis in (2, 3):
            info.type.tensor_type.shape.dim[axis].dim_param = f"{info.name}{axis}"
    onnx.checker.check_model(graph, full_check=True)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    blobs = [random.random((1, i.channels, *(n * i.factor for n in size))).astype(np.float32) for i in original.inputs]
    got = session.run(None, {i.name: blob for i, blob in zip(session.get_inputs(), blobs, strict=True)})
    for one, wanted in zip(got, original.run(*blobs), strict=True):
        assert wanted.dtype == np.float32
        np.testing.assert_allclose(one, wanted, atol=atol)
    return original, [node.op_type for node in graph.graph.node]


CONV = "a = Conv<pads = [1, 1, 1, 1]>(x, w, b)"


def conv(channels=12):
    return {"w": weights(channels, 3, 3, 3), "b": weights(channels)}


BODIES = {
    7: "c = Clip<min = 0.1, max = 0.9>(a) y = Upsample<mode = \"nearest\", scales = [1.0, 1.0, 2.0, 2.0]>(c)",
    9: "c = Slice<axes = [1], starts = [2], ends = [8]>(a) d = Pad<pads = [0, 0, 1, 1, 0, 0, 1, 1]>(c) y = Relu(d)",
    10: "y = Resize<mode = \"linear\">(a, scales)",
    11: "p, q = Split<axis = 1, split = [6, 6]>(a) m = ReduceMean<axes = [1]>(p) y = Mul(q, m)",
    12: "d = Dropout(a) y = DepthToSpace<blocksize = 2, mode = \"CRD\">(d)",
    17: "y = HardSwish(a)",
    18: """p, q = Split<axis = 1, num_outputs = 2>(a) m = ReduceMean(p, one) n = Mul(q, m) d = Pad(n, pads, , axes)
           y = Mish(d)""",
    20: "y = Gelu<approximate = \"tanh\">(a)",
    21: "g = Gelu(a) y = Identity(g)",
    22: "t = Transpose<perm = [0, 2, 3, 1]>(a) l = LayerNormalization(t, s, b) y = Transpose<perm = [0, 3, 1, 2]>(l)",
}  # fmt: skip


@pytest.mark.parametrize("opset", BODIES)
def test_opsets(opset, tmp_path):
    extra = {
        10: {"scales": np.array([1, 1, 2, 2], np.float32)},
        18: {"one": np.array([1]), "pads": np.array([1, 1, 1, 1]), "axes": np.array([2, 3])},
        22: {"s": weights(12)},
    }.get(opset, {})
    original, _ = check(save(tmp_path, model(f"{CONV} {BODIES[opset]}", opset, **conv(), **extra)))
    assert (original.inputs[0].name, original.inputs[0].channels) == ("x", 3)


def test_arithmetic_on_sizes_is_computed_ahead(tmp_path):
    body = f"""{CONV} h = Shape(a) s = Slice(h, two, four) d = Mul(s, twos) n = Slice(h, zero, two)
               z = Concat<axis = 0>(n, d) y = Resize<mode = "nearest", coordinate_transformation_mode = "asymmetric",
               nearest_mode = "floor">(a, , , z)"""
    numbers = {"zero": [0], "two": [2], "four": [4], "twos": [2, 2]}
    _, ops = check(save(tmp_path, model(body, **conv(3), **{k: np.array(v) for k, v in numbers.items()})))
    assert ops == ["Conv", "Resize"]


def test_facts_of_a_plain_file(tmp_path):
    body = f'{CONV} y = DepthToSpace<blocksize = 2, mode = "CRD">(a)'
    original, _ = check(save(tmp_path, model(body, **conv())))
    assert (original.name, original.facts, original.notes) == ("net", Facts(scale=2), [])
    luma = model("y = Conv<pads = [1, 1, 1, 1]>(x, w)", x="float[1,1,H,W] x", w=weights(1, 1, 3, 3))
    assert source.read(save(tmp_path, luma), Options()).facts == Facts(scale=1, color="luma")


def test_facts_in_the_metadata_of_cvsr(tmp_path):
    proto = model("y = Conv<pads = [1, 1, 1, 1]>(x, w)", x="float[1,1,64,64] x", w=weights(4, 1, 3, 3))
    for key, value in {"scale": 2, "color": "luma", "range": 1, "tail": "subpixel", "radius": 1}.items():
        proto.metadata_props.add(key=f"cvsr.{key}", value=str(value))
    facts = source.read(save(tmp_path, proto), Options()).facts
    assert facts == Facts(scale=2, color="luma", range=1.0, tail="subpixel", radius=1)


def test_a_fixed_size_is_made_free(tmp_path):
    check(save(tmp_path, model(f"{CONV} y = Relu(a)", x="float[1,3,32,32] x", y="float[1,12,32,32] y", **conv())))


def test_a_size_that_the_graph_fixes_is_named(tmp_path):
    body = f"{CONV} r = Reshape(a, s) y = Relu(r)"
    proto = model(body, x="float[1,3,32,32] x", s=np.array([1, 12, 32, 32]), **conv())
    with pytest.raises(ModelError, match=r"(?s)Reshape.*dynamic axes"):
        source.read(save(tmp_path, proto), Options())


def test_channels_last(tmp_path):
    body = """t = Transpose<perm = [0, 3, 1, 2]>(x) a = Conv<pads = [1, 1, 1, 1]>(t, w, b)
              y = Transpose<perm = [0, 2, 3, 1]>(a)"""
    original, ops = check(save(tmp_path, model(body, x="float[N,H,W,C] x", **conv())))
    assert ops == ["Conv"]
    assert original.run(np.zeros((1, 3, 9, 7), np.float32))[0].shape == (1, 12, 9, 7)


def test_bytes_in_and_out(tmp_path):
    body = (
        "f = Cast<to = 1>(x) a = Conv<pads = [1, 1, 1, 1]>(f, w) c = Clip(a, lo, hi) r = Round(c) y = Cast<to = 2>(r)"
    )
    constants = {"w": np.abs(weights(3, 3, 3, 3)) / 27, "lo": np.float32(0), "hi": np.float32(255)}
    proto = model(body, x="uint8[1,3,H,W] x", y="uint8[1,3,I,J] y", **constants)
    original, ops = check(save(tmp_path, proto))
    assert ops == ["Conv", "Clip"]
    assert original.facts.range == 255
    assert len(original.notes) == 2


def test_halves_become_floats(tmp_path):
    half = {name: array.astype(np.float16) for name, array in conv(3).items()}
    original, ops = check(
        save(tmp_path, model(f"{CONV} y = Relu(a)", x="float16[1,3,H,W] x", y="float16[1,3,I,J] y", **half))
    )
    assert ops == ["Conv", "Relu"]
    assert "16-bit" in original.notes[0]


def test_two_inputs_and_chosen_outputs(tmp_path):
    body = (
        'a = Conv<pads = [1, 1, 1, 1]>(x, w) d = DepthToSpace<blocksize = 2, mode = "CRD">(a) y = Add(d, z) v = Relu(y)'
    )
    sizes = {"x": "float[1,3,16,16] x, float[1,3,32,32] z", "y": "float[1,3,32,32] y, float[1,3,32,32] v"}
    path = save(tmp_path, model(body, **sizes, w=weights(12, 3, 3, 3)))
    original, _ = check(path)
    assert [(i.name, i.factor) for i in original.inputs] == [("x", 1), ("z", 2)]
    assert original.outputs == ["y", "v"]
    assert source.read(path, Options(outputs=("v",))).outputs == ["v"]
    with pytest.raises(ModelError, match=r"'nothing'.* y, v"):
        source.read(path, Options(outputs=("nothing",)))


def test_an_input_that_is_no_image_needs_a_value(tmp_path):
    path = save(tmp_path, model(f"{CONV} y = Mul(a, k)", x="float[1,3,H,W] x, float k", **conv()))
    with pytest.raises(ModelError, match=r"'k'.*feed"):
        source.read(path, Options())
    assert [i.name for i in check(path, Options(feeds={"k": 0.5}))[0].inputs] == ["x"]


def test_weights_in_a_file_beside_it(tmp_path):
    proto = model(f"{CONV} y = Relu(a)", **conv())
    path = tmp_path / "net.onnx"
    onnx.save(proto, path, save_as_external_data=True, location="net.data", size_threshold=0)
    check(path)
    (tmp_path / "net.data").write_bytes(b"\0" * 50)
    with pytest.raises(ModelError, match="truncated"):
        source.read(path, Options())
    (tmp_path / "net.data").unlink()
    with pytest.raises(ModelError, match="put it beside the model"):
        source.read(path, Options())


@pytest.mark.parametrize("location", ["../secret", "/etc/hostname", "link"])
def test_weights_outside_of_the_folder_are_not_read(location, tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(b"\0" * 4096)
    (folder / "link").symlink_to(tmp_path / "secret")
    proto = model(f"{CONV} y = Relu(a)", **conv())
    external_data_helper.set_external_data(proto.graph.initializer[0], location)
    proto.graph.initializer[0].ClearField("raw_data")
    with pytest.raises(ModelError, match="must be in the model's folder"):
        source.read(save(folder, proto), Options())


def broken_weight(proto):
    proto.graph.initializer[0].raw_data = b"\0" * 8


def huge_weight(proto):
    proto.graph.initializer[0].dims[0] = 2**62


def own_operation(proto):
    proto.graph.node[0].domain = "com.example"
    proto.opset_import.append(helper.make_opsetid("com.example", 1))


def own_function(proto):
    function = helper.make_function(
        "own", "Twice", ["p"], ["q"], [helper.make_node("Add", ["p", "p"], ["q"])], proto.opset_import
    )
    proto.functions.append(function)


def old_opset(proto):
    proto.opset_import[0].version = 6


def missing_value(proto):
    proto.graph.node[0].input[0] = "nowhere"


def strings(proto):
    proto.graph.initializer.append(helper.make_tensor("t", TensorProto.STRING, [1], [b"text"]))


@pytest.mark.parametrize(
    ("breaking", "said"),
    [
        (broken_weight, "'w'.* has 8: .*damaged"), (huge_weight, "'w'.*damaged"), (own_operation, "Conv.*com.example"),
        (own_function, "own::Twice"), (old_opset, "opset 6"), (missing_value, "not valid ONNX"),
        (strings, "'t'.*STRING"),
    ],
)  # fmt: skip
def test_refused_with_a_reason(breaking, said, tmp_path):
    proto = model(f"{CONV} y = Relu(a)", **conv())
    breaking(proto)
    with pytest.raises(ModelError, match=said):
        source.read(save(tmp_path, proto), Options())


@pytest.mark.parametrize(
    ("body", "opset", "said"),
    [
        ("i = NonZero(x) f = Cast<to = 1>(i) y = Unsqueeze(f, axes)", 13, "NonZero"),
        ("y = Bernoulli(x)", 15, "Bernoulli.*opset 15"),
        ("y = Softmax(x)", 11, "several axes"),
        ('y = Resize<antialias = 1, mode = "linear">(x, , scales)', 18, "antialias"),
    ],
)
def test_operations_that_mean_something_else_are_refused_by_name(body, opset, said, tmp_path):
    constants = {"axes": np.array([0, 1]), "scales": np.array([1, 1, 2, 2], np.float32)}
    used = {name: array for name, array in constants.items() if f" {name})" in body}
    with pytest.raises(ModelError, match=said):
        source.read(save(tmp_path, model(body, opset, **used)), Options()).graph((48, 64))


@pytest.mark.parametrize("data", [b"", b"no protobuf at all", bytes(range(256)) * 9])
def test_files_that_are_not_onnx_are_refused(data, tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(data)
    assert source.matches(path)
    with pytest.raises(ModelError, match=r"not an ONNX file|no ONNX graph"):
        source.read(path, Options())


def test_matches_goes_by_the_name(tmp_path):
    (tmp_path / "net.bin").write_bytes(b"")
    assert not source.matches(tmp_path / "net.bin")
    assert not source.matches(tmp_path)
    assert not source.matches(tmp_path / "missing.onnx")
