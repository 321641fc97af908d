"""A standalone file gives the runtime's picture, on OpenCV alone."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the converter needs onnx")
pytest.importorskip("onnxruntime", reason="the graphs run in onnxruntime")
cv2 = pytest.importorskip("cv2")

from kit.targets import facts_of, network, original, small, weights

import cvsr
from cvsr.errors import ModelError
from cvsr_converters import passes
from cvsr_converters.facts import Facts
from cvsr_converters.passes import Graph, canonical
from cvsr_converters.passes.lower import shuffle
from cvsr_converters.proof.verify import verify
from cvsr_converters.targets import standalone

MODELS = Path(__file__).parents[3] / "models" / "cvsr-small"


def packed(model, facts, tolerance=1e-4):
    """Pack, check against the runtime's pre- and post-processing in onnxruntime and OpenCV; return the file's bytes."""
    data = standalone.pack(model, facts)
    report = verify(data, standalone.host(original(model), facts), draw=standalone.draw, tolerance=tolerance)
    assert report.ok, report.markdown()
    return data


def upscaled(data, image):
    """Return the picture as a program in another language makes it."""
    net = cv2.dnn.readNetFromONNX(np.frombuffer(data, np.uint8))
    net.setInput(cv2.dnn.blobFromImage(image))
    return np.clip(np.rint(net.forward()[0].transpose(1, 2, 0)), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_bundled_model_as_a_standalone_file(scale, photo):
    info = cvsr.open_model(MODELS / f"cvsr-small_x{scale}.onnx")
    data = packed(onnx.load(info.path), facts_of(info))
    image = photo("astronaut")[:75, 200:300]
    wanted = cvsr.Upscaler(info, scale)(image)
    assert np.abs(upscaled(data, image).astype(int) - wanted).max() <= 1, "up to the border"


@pytest.mark.parametrize("scale", [2, 3])
def test_gray_stays_gray(scale):
    info = cvsr.open_model(MODELS / f"cvsr-small_x{scale}.onnx")
    data = standalone.pack(onnx.load(info.path), facts_of(info))
    result = upscaled(data, np.full((32, 40, 3), 100, np.uint8))
    assert np.ptp(result, axis=2).max() == 0


@pytest.mark.parametrize(
    ("color", "facts"),
    [
        ("rgb", {}),
        ("bgr", {"white": 255, "mean": (103.1545782, 111.561547, 114.35629928)}),
        ("rgb", {"mean": (0.4488, 0.4371, 0.404)}),
        ("ycbcr", {"mode": "DCR"}),
        ("ycrcb", {"white": 255}),
        ("luma", {"mean": (0.5,)}),
        ("luma", {"white": 255, "chroma": "bilinear"}),
    ],
)
def test_color_range_and_mean(color, facts, photo):
    model, facts = small(1 if color == "luma" else 3, color, **facts)
    image = photo("astronaut")[:60, 200:280]
    result = upscaled(packed(model, facts), image)
    plain = cv2.resize(image, None, fx=2, fy=2)
    assert np.corrcoef(result.ravel(), plain.ravel())[0, 1] > 0.8, "it looks like the image"


def test_network_that_reads_the_enlarged_image():
    facts = Facts(name="pre", scale=3, color="luma", range=1, inputs="bicubic")
    body = "y = Conv<kernel_shape = [5, 5], pads = [2, 2, 2, 2]>(x, w, b)"
    model = network(body, {"x": (1, 48, 48)}, (1, 48, 48), w=weights(1, 1, 5, 5), b=weights(1, gain=0.1))
    data = packed(model, facts)
    assert metadata(data)["radius"] == "3"


def test_network_that_reads_both_images():
    facts = Facts(name="both", scale=2, color="ycbcr", range=255, inputs="image,bicubic", radius=4)
    body = """a = Conv<kernel_shape = [3, 3], pads = [1, 1, 1, 1]>(x, w)
              d = DepthToSpace<blocksize = 2, mode = "CRD">(a) y = Add(d, large)"""
    inputs = {"x": (3, 48, 64), "large": (3, 96, 128)}
    packed(network(body, inputs, (3, 96, 128), w=weights(12, 3, 3, 3, gain=0.1)), facts)


def test_colors_at_their_limits():
    """Pure colors leave no room for rounding errors of luma and chroma, nor for values beyond the limits."""
    model, facts = small(1, "luma")
    corners = np.array([[b, g, r] for b in (0, 255) for g in (0, 255) for r in (0, 255)], np.uint8)
    blob = cv2.dnn.blobFromImage(np.tile(corners.reshape(2, 4, 3), (16, 16, 1)))
    wanted = standalone.host(original(model), facts)(blob)
    got = original(onnx.load_from_string(standalone.pack(model, facts)))(blob)[0]
    assert got.min() >= 0
    assert got.max() <= 255
    np.testing.assert_allclose(got, wanted, atol=0.01)


def metadata(data):
    return {entry.key.removeprefix("cvsr."): entry.value for entry in onnx.load_from_string(data).metadata_props}


def test_what_the_file_says_of_itself(tmp_path):
    model, facts = small(1, "luma", size=7)
    data = standalone.pack(model, facts | Facts(license="MIT", multiple=4, skip="none"))
    said = {"kind": "standalone", "color": "bgr", "range": "255", "tail": "image", "scale": "2", "radius": "6"}
    assert metadata(data) == said | {"name": "small", "license": "MIT", "multiple": "4", "version": "1"}
    (tmp_path / "any.onnx").write_bytes(data)
    info = cvsr.open_model(tmp_path / "any.onnx")
    assert (info.color, info.range, info.tail, info.scale, info.radius) == ("bgr", 255, "image", 2, 6)


def test_same_bytes_for_the_same_network():
    model, facts = small(3, "rgb")
    assert standalone.pack(model, facts) == standalone.pack(model, facts)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scale": 3}, "correct these options"),
        ({"color": "luma"}, r"they should have \[\[1, 48, 64\], \[1, 96, 128\]\]"),
        ({"inputs": "bicubic"}, "inputs bicubic"),
        ({"inputs": "image,bicubic"}, "2 inputs"),
        ({"tail": "subpixel"}, r"\[12, 48, 64\]"),
        ({"range": None}, "the network's range"),
    ],
)
def test_facts_that_do_not_fit_the_network(change, message):
    model, facts = small(3, "rgb")
    with pytest.raises(ModelError, match=message):
        standalone.pack(model, dataclasses.replace(facts, **change))


@pytest.mark.parametrize("mode", ["CRD", "DCR"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_shuffle_as_transposes(mode, channels):
    """Bit for bit, in each OpenCV engine and at sizes A, B, A."""
    body = f'd = DepthToSpace<blocksize = 3, mode = "{mode}">(x) y = Relu(d)'
    model = network(body, {"x": (9 * channels, 64, 64)}, (channels, 192, 192))
    graph = Graph(model)
    assert passes.apply(shuffle, graph)
    canonical.run(graph)
    rewritten = graph.to_model()
    assert {node.op_type for node in rewritten.graph.node} == {"Reshape", "Transpose", "Relu"}
    report = verify(rewritten.SerializeToString(), lambda x: original(model)(x)[0], tolerance=0)
    assert report.ok, report.markdown()
