"""Weights in 16 bits halve the file, load in each OpenCV engine, and change the picture by their rounding only."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the converter needs onnx")
pytest.importorskip("onnxruntime", reason="the graphs run in onnxruntime")
pytest.importorskip("cv2")

from onnx import numpy_helper, parser
from onnx.reference import ReferenceEvaluator

import cvsr
from cvsr_converters.proof.verify import verify
from cvsr_converters.targets import half

MODELS = Path(__file__).parents[3] / "models" / "cvsr-small"
random = np.random.default_rng(6)


def network(kernel, deconv=None):
    """Return the ONNX model of a convolution, PRelu and a transposed convolution x2, from x (1, 4, 16, 16)."""
    text = """<ir_version: 7, opset_import: ["": 13]> g (float[1,4,16,16] x) => (float[1,2,32,32] y)
              { a = Conv<kernel_shape = [5, 5], pads = [2, 2, 2, 2]>(x, w, b) c = PRelu(a, p)
                y = ConvTranspose<kernel_shape = [4, 4], strides = [2, 2], pads = [1, 1, 1, 1]>(c, v) }"""
    model = parser.parse_model(text)
    deconv = random.normal(size=(8, 2, 4, 4)) if deconv is None else deconv
    constants = {"w": kernel, "b": np.linspace(0, 1, 8), "p": np.full((8, 1, 1), 0.3), "v": deconv}
    model.graph.initializer.extend(numpy_helper.from_array(np.float32(a), n) for n, a in constants.items())
    return model


def stored(model):
    return {c.name: numpy_helper.to_array(c) for c in model.graph.initializer}


def original(model):
    free = onnx.ModelProto.FromString(model.SerializeToString())
    for info in [*free.graph.input, *free.graph.output]:
        for number, dim in enumerate(info.type.tensor_type.shape.dim[2:]):
            dim.dim_param = f"{info.name}{number}"
    session = ReferenceEvaluator(free)
    return lambda x: session.run(None, {"x": x})[0]


def test_the_computation_is_that_of_the_rounded_weights():
    kernel, deconv = random.normal(size=(8, 4, 5, 5)), random.normal(size=(8, 2, 4, 4))
    model = half.weights(network(kernel, deconv))
    wanted = network(kernel.astype(np.float16), deconv.astype(np.float16))
    report = verify(model.SerializeToString(), original(wanted), tolerance=1e-5)
    assert report.ok, report.markdown()
    arrays = stored(model)
    assert {name: array.dtype.name for name, array in arrays.items()} == {
        "w.half": "float16", "b": "float32", "p": "float32", "v.half": "float16",
    }  # fmt: skip


def test_bundled_model_in_half_the_size(tmp_path, photo):
    path = MODELS / "cvsr-small_x2.onnx"
    data = half.weights(onnx.load(path)).SerializeToString()
    assert len(data) < 0.6 * path.stat().st_size
    (tmp_path / path.name).write_bytes(data)
    halved, whole = cvsr.open_model(tmp_path / path.name), cvsr.open_model(path)
    assert (halved.scale, halved.tail, halved.radius) == (whole.scale, whole.tail, whole.radius)
    image = photo("astronaut")[:60, 200:280]
    difference = cvsr.Upscaler(halved, 2)(image).astype(int) - cvsr.Upscaler(whole, 2)(image)
    assert np.abs(difference).max() <= 1


@pytest.mark.parametrize("factor", [1e-7, 1e5], ids=["too small", "too large"])
def test_weights_that_float16_cannot_hold_stay(factor):
    kernel = factor * random.normal(size=(8, 4, 5, 5))
    assert stored(half.weights(network(kernel)))["w"].dtype == np.float32


@pytest.mark.parametrize("bits", [4, 8, 11])
def test_rounded_weights_have_so_many_bits_and_pack_better(bits):
    model = network(random.normal(size=(8, 4, 5, 5)))
    before, after = stored(model), stored(half.rounded(model, bits))
    for name in "wv":
        assert np.abs(after[name] / before[name] - 1).max() <= 2.0**-bits
        assert not (after[name].view(np.uint32) & (1 << 24 - bits) - 1).any()
        assert len(zlib.compress(after[name])) < (0.5 + bits / 32) * before[name].nbytes
    assert half.significant(half.weights(half.rounded(model, bits))) == bits
    assert half.significant(model) == 0
    assert {name: after[name].tolist() for name in "bp"} == {name: before[name].tolist() for name in "bp"}


def test_each_bit_less_may_be_twice_as_far_off():
    assert [half.tolerance(bits) * 255 for bits in (None, 24, 11, 10, 8)] == [1, 1, 1, 2, 8]


def test_small_weights_stay():
    assert "v" in stored(half.weights(network(random.normal(size=(8, 4, 5, 5)), np.ones((8, 2, 2, 2)))))


def test_the_given_model_is_left_alone():
    model = network(random.normal(size=(8, 4, 5, 5)))
    before = model.SerializeToString()
    half.weights(model)
    assert model.SerializeToString() == before
