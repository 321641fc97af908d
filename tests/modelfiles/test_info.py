"""Facts of model files: metadata, names, structure, and files that lie."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit import onnxlite

import cvsr
from cvsr.errors import ModelError, ModelNotFoundError, OptionError
from cvsr.modelfiles import onnx_reader, superres_files
from cvsr.modelfiles.tensorflow import graphdef


def varint(value):
    out = b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def block(number, payload):
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def graphdef_node(name, op, inputs=(), attributes=()):
    body = block(1, name.encode()) + block(2, op.encode()) + b"".join(block(3, i.encode()) for i in inputs)
    for key, value in attributes:
        body += block(5, block(1, key.encode()) + block(2, value))
    return block(1, body)


def const(name, shape):
    dims = b"".join(block(2, varint(1 << 3) + varint(n)) for n in shape)
    return graphdef_node(name, "Const", (), [("value", block(8, block(2, dims)))])


ESPCN_LIKE = (
    graphdef_node("in", "Placeholder")
    + const("f1", (5, 5, 1, 32))
    + graphdef_node("conv1", "Conv2D", ["in", "f1"])
    + graphdef_node("relu", "Relu", ["conv1"])
    + const("f2", (3, 3, 32, 4))
    + graphdef_node("conv2", "Conv2D", ["relu", "f2"])
    + graphdef_node("shuffle", "DepthToSpace", ["conv2"], [("block_size", varint(3 << 3) + varint(2))])
    + graphdef_node("NCHW_output", "Transpose", ["shuffle"])
)


def test_metadata_says_it_all(write):
    info = cvsr.open_model(write("anything.onnx", onnxlite.conv_chain(8, 2, 3, 0)))
    assert (info.scale, info.color, info.range, info.tail, info.skip) == (3, "luma", 1.0, "subpixel", "nearest")
    assert info.radius == 5 and info.channels == 1 and len(info.sha256) == 64 and info.width == 9


def test_keywords_override_the_file(write):
    path = write("net.onnx", onnxlite.conv_chain(8, 2, 2, 0))
    assert cvsr.open_model(path, range=255, radius=9).radius == 9
    with pytest.raises(OptionError, match="range"):
        cvsr.open_model(path, range=7)
    with pytest.raises(OptionError, match="luma"):
        cvsr.open_model(path, color="grey")
    with pytest.raises(OptionError, match="scale"):
        cvsr.open_model(path, scale=0)


def test_without_metadata_the_missing_keyword_is_named(write):
    bare = dict.fromkeys(onnx_reader.read_onnx(onnxlite.conv_chain(8, 2, 2, 0)).metadata, "")
    path = write("someones.onnx", onnxlite.conv_chain(8, 2, 2, 0, props=bare))
    with pytest.raises(ModelError, match=r"scale.*open_model\(path, scale=2\)"):
        cvsr.open_model(path)
    info = cvsr.open_model(path, scale=2, range=1, tail="subpixel")
    assert info.color == "luma" and info.radius == 5, "structure says the rest"
    assert cvsr.open_model(write("someones_x4.onnx", path.read_bytes()), range=1).scale == 4


def test_wrong_facts_are_found_by_a_small_forward(write):
    path = write("net.onnx", onnxlite.conv_chain(8, 2, 2, 0))
    with pytest.raises(ModelError, match="shape"):
        cvsr.Upscaler(cvsr.open_model(path, scale=3), 3)


def test_public_names_tell_a_pbs_facts(write):
    for name, scale in (("FSRCNN_x3.pb", 3), ("espcn_X2.pb", 2), ("FSRCNN-small_x4.pb", 4), ("LapSRN_x8.pb", 8)):
        info = cvsr.open_model(write(name, ESPCN_LIKE))
        assert (info.scale, info.color, info.range, info.output) == (scale, "luma", 1.0, "NCHW_output")
        assert info.radius == 3 and info.width == 32
    in_color = ESPCN_LIKE.replace(const("f1", (5, 5, 1, 32)), const("f1", (5, 5, 3, 32)))
    edsr = cvsr.open_model(write("EDSR_x4.pb", in_color))
    assert (edsr.color, edsr.range, len(edsr.mean)) == ("bgr", 255.0, 3)
    with pytest.raises(ModelError, match="open_model"):
        cvsr.open_model(write("mine.pb", ESPCN_LIKE))


def test_a_name_that_the_structure_contradicts_is_not_believed(write):
    with pytest.warns(RuntimeWarning, match=r"EDSR_x4\.pb.*takes 1 channels"), pytest.raises(ModelError, match="scale"):
        cvsr.open_model(write("EDSR_x4.pb", ESPCN_LIKE))


def test_an_algorithm_of_dnn_superres_says_what_the_name_does_not(write):
    info = cvsr.open_model(write("mine.pb", ESPCN_LIKE), algorithm="ESPCN", scale=2)
    assert (info.algorithm, info.color, info.range, info.chroma) == ("espcn", "luma", 1.0, "dnn_superres")
    with pytest.raises(OptionError, match="espcn, fsrcnn, lapsrn, edsr"):
        cvsr.open_model(write("mine.pb", ESPCN_LIKE), algorithm="srgan", scale=2)


def test_public_files_are_known_under_any_name(write, data_root):
    files = sorted((data_root / "models" / "dnn_superres_pb").glob("*.pb"))
    for path in files:
        algorithm, scale = superres_files.named(path.stem)
        info = cvsr.open_model(write("model.pb", path.read_bytes()))
        assert (info.name, info.algorithm, info.scale) == (path.stem, algorithm, scale)
        assert (info.color, info.chroma) == ("luma", "dnn_superres")
    assert len(files) == len(superres_files.PUBLIC)
    data = (data_root / "models/dnn_superres_pb/FSRCNN_x2.pb").read_bytes()
    for name in ("FSRCNN_x3.pb", "fsrcnn-small_x2.pb", "ESPCN_x2.pb"):
        message = rf"{name} is not what its name says: its checksum is that of FSRCNN_x2\.pb"
        with pytest.warns(RuntimeWarning, match=message):
            assert cvsr.open_model(write(name, data)).scale == 2


def test_blocksize_is_added_once_beside_block_size():
    patched = graphdef.add_blocksize(ESPCN_LIKE)
    assert patched.count(b"blocksize") == 1 and patched.count(b"block_size") == 1
    assert graphdef.add_blocksize(patched) == patched
    assert graphdef.read_graphdef(patched) == graphdef.read_graphdef(ESPCN_LIKE)


def test_global_operations_have_no_reach():
    data = onnxlite.conv_chain(8, 1, 2, 0)
    assert onnx_reader.read_onnx(data).reach == 4
    pooled = data.replace(b"\x22\x04Relu", b"\x22\x04Mean")
    assert pooled != data and onnx_reader.read_onnx(pooled).reach is None


@pytest.mark.parametrize("name", ["m.onnx", "m.pb"])
def test_files_that_are_not_models_are_refused(write, tmp_path, name):
    for data in (b"", b"hello, this is a text and no model at all", b"\x0a\xff\xff\xff\xff\x0f", b"\x07", b"\x80" * 20):
        with pytest.raises(ModelError, match=name):
            cvsr.open_model(write(name, data))
    with pytest.raises(ModelNotFoundError):
        cvsr.open_model(tmp_path / "missing.onnx")
    with pytest.raises(ModelError, match=r"\.h5"):
        cvsr.open_model(write("net.h5", b"x"))


@given(cut=st.floats(0, 1), flips=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=4))
def test_broken_bytes_give_a_model_error_and_nothing_else(cut, flips):
    for whole, read in ((onnxlite.conv_chain(4, 1, 2, 0), onnx_reader.read_onnx), (ESPCN_LIKE, graphdef.read_graphdef)):
        data = bytearray(whole)
        for place, value in flips:
            data[int(place * (len(data) - 1))] = value
        try:
            read(bytes(data[: int(cut * len(data))]))
            graphdef.add_blocksize(bytes(data))
        except ModelError:
            pass


def test_the_dependency_free_reader_agrees_with_the_onnx_package():
    onnx = pytest.importorskip("onnx")
    data = onnxlite.conv_chain(8, 2, 2, 0)
    model, facts = onnx.load_from_string(data), onnx_reader.read_onnx(data)
    assert facts.ops == [node.op_type for node in model.graph.node]
    assert facts.metadata == {p.key: p.value for p in model.metadata_props}
    assert facts.outputs == [("output", [d.dim_value for d in model.graph.output[0].type.tensor_type.shape.dim])]


def test_luma_is_what_the_model_file_promises(write):
    """The whole way for one model, in plain numpy: luma in, convolutions, planes, skip, shuffle."""
    path = write("net.onnx", onnxlite.conv_chain(4, 1, 2, 5))
    onnx = pytest.importorskip("onnx")
    from onnx import reference

    image = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    x = image[None, None].astype(np.float32) / 255
    planes = reference.ReferenceEvaluator(onnx.load(path)).run(None, {"input": x})[0][0] + x[0]
    expected = planes.reshape(2, 2, 64, 64).transpose(2, 0, 3, 1).reshape(128, 128)
    expected = np.clip(np.rint(expected * 255), 0, 255)
    assert np.abs(cvsr.upscale(image, 2, model=path) - expected).max() <= 1
