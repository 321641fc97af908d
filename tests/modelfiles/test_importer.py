"""Frozen graphs as ONNX: the same numbers as OpenCV's own importer, without it, and a clear no to everything else."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from kit import graphdeflite as lite

import cvsr
from cvsr._cv2 import cv2
from cvsr.errors import ModelError
from cvsr.inference.network import Network
from cvsr.modelfiles import onnx_reader
from cvsr.modelfiles.tensorflow import graphdef, importer
from cvsr.opencv import devices

CHILD = Path(__file__).parents[1] / "kit" / "frozen_child.py"
needs_importer = pytest.mark.skipif(
    not hasattr(cv2.dnn, "readNetFromTensorflow"), reason="this OpenCV has no importer to compare with"
)


def in_a_child(image, files, tmp_path):
    np.save(tmp_path / "image.npy", image)
    paths = os.pathsep.join([str(Path(cvsr.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, CHILD, tmp_path / "image.npy", *files],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@needs_importer
def test_the_numbers_of_the_importer_and_the_pictures_of_dnn_superres(write, photo, tmp_path):
    files = [write(f"{name}.pb", data) for name, data in lite.FAMILIES.items()]
    in_a_child(photo("astronaut")[40:85, 180:243], files, tmp_path)


@needs_importer
def test_the_same_for_every_public_file(data_root, photo, tmp_path):
    files = sorted((data_root / "models" / "dnn_superres_pb").glob("*.pb"))
    if not files:
        pytest.skip("CVSR_DATA has no models/dnn_superres_pb")
    in_a_child(photo("astronaut")[40:72, 180:220], files, tmp_path)


@pytest.mark.parametrize("name", lite.FAMILIES)
def test_a_final_pixel_shuffle_is_left_to_the_host(name, write):
    info = cvsr.open_model(write(f"{name}.pb", lite.FAMILIES[name]))
    network = Network(info, devices.resolve("cpu"))
    assert network.info.tail == ("image" if name == "lapsrn_x4" else "subpixel")
    assert network.info.radius == info.radius and info.radius is not None
    assert graphdef.channels(graphdef.read_graphdef(lite.FAMILIES[name])) == info.channels
    assert Network(info, devices.resolve("cpu"), importer=True).info.tail == "image"


def test_every_output_keeps_its_name(write):
    info = cvsr.open_model(write("lapsrn_x4.pb", lite.lapsrn(2)))
    network = Network(info, devices.resolve("cpu"))
    network.forward(np.zeros((1, 1, 8, 8), np.float32))
    net = network._local.net
    for name, factor in (("NCHW_output", 4), ("NCHW_output_4x", 4), ("NCHW_output_2x", 2)):
        assert net.forward(name).shape == (1, 1, 8 * factor, 8 * factor), name


def ops(data, channels=1, scale=2):
    return onnx_reader.read_onnx(importer.rewrite(data, channels, scale).onnx).ops


def test_each_layer_of_the_families_is_one_node():
    assert ops(lite.fsrcnn()) == ["Conv", "PRelu", "Conv", "PRelu", "Conv"]
    assert ops(lite.deconvolved()) == ["Conv", "PRelu", "Conv"]
    assert ops(lite.espcn()) == ["Conv", "Relu", "Conv"]
    assert ops(lite.edsr(blocks=1), 3) == ["Conv", "Conv", "Relu", "Conv", "Add", "Conv", "Add", "Conv"]
    assert ops(lite.lapsrn(1)) == ["Conv", "LeakyRelu", "Conv", "Conv", "LeakyRelu", "Add", "LeakyRelu", "Identity"]


SLOPES = np.array([0.25, -0.5, 0.75], np.float32)
LARGER = lite.binary("m", "Mul", "x", 0.2) + lite.node("y", "Maximum", ["m", "x"])
ACTIVATIONS = {  # name: (nodes from "x" to "y", what becomes of them, the slope)
    "FSRCNN's": (lite.prelu("y", "x", SLOPES), "PRelu", SLOPES),
    "LapSRN's": (lite.leaky("y", "x"), "LeakyRelu", 0.2),
    "the larger": (LARGER, "LeakyRelu", 0.2),
    "LeakyRelu": (lite.node("y", "LeakyRelu", ["x"], alpha=0.125), "LeakyRelu", 0.125),
    "LeakyRelu by default": (lite.node("y", "LeakyRelu", ["x"]), "LeakyRelu", 0.2),
    "Keras's": (
        lite.node("n", "Neg", ["x"])
        + lite.node("r", "Relu", ["n"])
        + lite.const("alpha", -SLOPES.reshape(1, 1, 3))
        + lite.node("m", "Mul", ["alpha", "r"])
        + lite.node("r_1", "Relu", ["x"])
        + lite.node("y", "AddV2", ["r_1", "m"]),
        "PRelu",
        SLOPES,
    ),
    "Relu": (lite.node("y", "Relu", ["x"]), "Relu", 0),
    "Abs": (lite.node("y", "Abs", ["x"]), "LeakyRelu", -1),
}  # fmt: skip


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_is_one_node_however_it_is_spelled(name, write):
    nodes, op, slope = ACTIVATIONS[name]
    eye, bias = np.eye(3, dtype=np.float32).reshape(1, 1, 3, 3), np.full(3, -0.5, np.float32)
    data = lite.node("in", "Placeholder") + lite.biased("x", "in", eye, bias) + nodes + lite.transpose("out", "y")
    assert ops(data, 3) == ["Conv", op]
    info = cvsr.open_model(write("net.pb", data), scale=1, color="rgb", range=1)
    blob = np.random.default_rng(0).random((1, 3, 9, 12), np.float32)
    x = blob - np.float32(0.5)
    wanted = np.where(x > 0, x, x * np.reshape(slope, (-1, 1, 1)))
    assert np.allclose(Network(info, devices.resolve("cpu")).forward(blob), wanted, atol=1e-6)


def test_factors_and_offsets_are_folded_into_the_convolution(write):
    eye = np.eye(3, dtype=np.float32).reshape(1, 1, 3, 3)
    data = (
        lite.node("in", "Placeholder")
        + lite.biased("x", "in", eye, np.array([0.5, 0, 1], np.float32))
        + lite.binary("m", "Mul", "x", np.array([3, 2, 1]))
        + lite.const("one", np.float32(1))
        + lite.node("s", "Sub", ["one", "m"])
        + lite.transpose("out", "s")
    )
    assert ops(data, 3) == ["Conv"]
    info = cvsr.open_model(write("net.pb", data), scale=1, color="rgb", range=1)
    blob = np.random.default_rng(0).random((1, 3, 4, 5), np.float32)
    moved = (blob + np.array([0.5, 0, 1]).reshape(3, 1, 1)) * np.array([3, 2, 1]).reshape(3, 1, 1)
    assert np.allclose(Network(info, devices.resolve("cpu")).forward(blob), 1 - moved, atol=1e-6)


def test_a_convolution_that_is_read_twice_is_not_changed(write):
    eye = np.ones((1, 1, 1, 1), np.float32)
    data = (
        lite.node("in", "Placeholder")
        + lite.conv("x", "in", eye)
        + lite.const("two", np.float32(2))
        + lite.node("once", "Identity", ["x"])
        + lite.node("more", "Add", ["once", "two"])
        + lite.node("y", "Add", ["more", "x"])
        + lite.transpose("out", "y")
    )
    info = cvsr.open_model(write("net.pb", data), scale=1, color="luma", range=1)
    blob = np.random.default_rng(0).random((1, 1, 4, 5), np.float32)
    assert np.allclose(Network(info, devices.resolve("cpu")).forward(blob), 2 * blob + 2, atol=1e-6)


@pytest.mark.parametrize("name", ["fsrcnn_x2", "espcn_x3", "fsrcnn_deconvolved_x3"])
def test_tiles_are_exact_where_the_host_shuffles(name, write, photo):
    path, image = write(f"{name}.pb", lite.FAMILIES[name]), photo("astronaut")[:90, :121].astype(np.float32) / 255
    whole, tiled = (cvsr.Upscaler(path, int(name[-1]), exact=True, tile=tile)(image) for tile in (0, 31))
    assert np.array_equal(whole, tiled)


@pytest.fixture
def no_importer(monkeypatch):
    monkeypatch.delattr(cv2.dnn, "readNetFromTensorflow", raising=False)


def test_an_opencv_without_an_importer_upscales(write, photo, no_importer):
    path, image = write("edsr_x2.pb", lite.edsr(2)), photo("astronaut")[40:80, 60:110]
    assert cvsr.upscale(image, 2, model=path).shape == (80, 100, 3)


def unknown(op):
    """An ESPCN that ends in an operation that is not known here."""
    return lite.espcn().replace(b"\x12\x04Tanh", b"\x12\x04" + op)


@needs_importer
def test_unknown_operations_are_left_to_the_importer(write):
    network = Network(cvsr.open_model(write("espcn_x2.pb", unknown(b"Relu"))), devices.resolve("cpu"))
    assert network.info.tail == "subpixel"
    network = Network(cvsr.open_model(write("espcn_x2.pb", unknown(b"Sqrt"))), devices.resolve("cpu"))
    assert network.info.tail == "image"


def test_without_an_importer_what_is_not_known_is_an_error(write, no_importer):
    path = write("espcn_x2.pb", unknown(b"Sqrt"))
    with pytest.raises(ModelError, match=r"cannot read frozen TensorFlow graphs.*espcn_x2\.pb.*'NHWC_output' \(Sqrt\)"):
        cvsr.Upscaler(path, 2)
