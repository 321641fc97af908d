"""What a model file may ask of the runtime: the image enlarged, or both, whole blocks, another order of colors."""

from __future__ import annotations

import numpy as np
import pytest
from kit import onnxlite

import cvsr
from cvsr._cv2 import cv2
from cvsr.errors import ModelError, OptionError
from cvsr.inference import plan, processing

random = np.random.default_rng(4)


def weights(*shape):
    return (random.normal(size=shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)


def conv(source, weight, bias, output, size, stride=1):
    pad = size // 2 if stride == 1 else 0
    ints = {"kernel_shape": [size] * 2, "strides": [stride] * 2, "pads": [pad] * 4}
    return onnxlite.node("Conv", [source, weight, bias], output, **ints)


def write(path, nodes, constants, channels=1, out=None, **facts):
    """Write a model of one input (two where ``facts`` say so) with this metadata."""
    both = facts.get("inputs") == "image,bicubic"
    inputs = {"x": (1, channels, 64, 64)} | ({"x2": (1, channels, 128, 128)} if both else {})
    facts = {"name": path.stem, "scale": 2, "color": "luma", "range": 1, "tail": "image", **facts}
    metadata = {f"cvsr.{key}": str(value) for key, value in facts.items()}
    path.write_bytes(onnxlite.model(nodes, constants, inputs, {"y": out or (1, channels, 128, 128)}, metadata))
    return path


@pytest.fixture
def srcnn(tmp_path):
    constants = {"w": weights(4, 1, 5, 5), "b": weights(4), "v": weights(1, 4, 3, 3), "c": weights(1)}
    nodes = [conv("x", "w", "b", "h", 5), onnxlite.node("Relu", ["h"], "r"), conv("r", "v", "c", "y", 3)]
    # two and one pixels of the enlarged image, and the two that the interpolation sees
    return write(tmp_path / "srcnn.onnx", nodes, constants, out=(1, 1, 64, 64), inputs="bicubic", radius=4)


def test_a_network_that_reads_the_enlarged_image(srcnn, photo):
    gray = photo("camera")[100:177, 60:153]
    upscaler = cvsr.Upscaler(srcnn, 2, exact=True, tile=32)
    result = upscaler(gray)
    assert np.array_equal(result, cvsr.Upscaler(srcnn, 2, exact=True, tile=0)(gray)), "tiles show"
    net = cv2.dnn.readNetFromONNX(str(srcnn))
    large = cv2.resize(gray / np.float32(255), None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    net.setInput(large[None, None])
    wanted = np.clip(np.rint(net.forward()[0, 0] * 255), 0, 255)
    assert np.abs(result - wanted).max() <= 1


def test_a_network_that_reads_both(tmp_path, photo):
    """The sum of a sub-pixel convolution of the image and of its enlargement: with zero weights, bicubic."""
    constants = {"w": np.zeros((1, 1, 2, 2), np.float32), "b": np.zeros(1, np.float32)}
    deconv = onnxlite.node("ConvTranspose", ["x", "w", "b"], "d", kernel_shape=[2, 2], strides=[2, 2])
    path = write(
        tmp_path / "dcscn.onnx", [deconv, onnxlite.node("Add", ["d", "x2"], "y")], constants,
        inputs="image,bicubic", radius=2,
    )  # fmt: skip
    assert cvsr.open_model(path).names == ("x", "x2")
    gray = photo("camera")[100:177, 60:153]
    result = cvsr.Upscaler(path, 2, tile=32)(gray)
    assert np.abs(result.astype(int) - cvsr.upscale(gray, 2, model="bicubic")).max() <= 1


def test_two_inputs_need_metadata(tmp_path):
    add = onnxlite.node("Add", ["x", "x2"], "y")
    path = write(tmp_path / "two_x2.onnx", [add], {}, inputs="image,bicubic")
    path.write_bytes(path.read_bytes().replace(b"image,bicubic", b"image;bicubic"))
    with pytest.raises(ModelError, match="2 inputs"):
        cvsr.open_model(path)


@pytest.mark.parametrize("size", [(77, 93), (64, 64), (1, 2)])
def test_a_network_that_halves_the_image_gets_whole_blocks(tmp_path, photo, size):
    """Blocks of 3x3 pixels become 36 numbers and again blocks of 6x6: nearest, if the blocks lie right."""
    m = 3
    down = np.eye(m * m, dtype=np.float32).reshape(m * m, 1, m, m)
    up = np.zeros((m * m, 1, 2 * m, 2 * m), np.float32)
    for i in range(m * m):
        r, c = divmod(i, m)
        up[i, 0, 2 * r : 2 * r + 2, 2 * c : 2 * c + 2] = 1
    nodes = [
        conv("x", "down", "zero9", "d", m, stride=m),
        onnxlite.node("ConvTranspose", ["d", "up", "zero1"], "y", kernel_shape=[2 * m] * 2, strides=[2 * m] * 2),
    ]
    constants = {"down": down, "up": up, "zero9": np.zeros(9, np.float32), "zero1": np.zeros(1, np.float32)}
    path = write(tmp_path / "unet.onnx", nodes, constants, multiple=m, radius=m)
    gray = photo("camera")[: size[0], : size[1]]
    for tile in (0, 20):
        result = cvsr.Upscaler(path, 2, tile=tile)(gray)
        assert np.array_equal(result, cvsr.upscale(gray, 2, model="nearest")), tile


@pytest.mark.parametrize("color", ["ycbcr", "ycrcb", "rgb", "bgr"])
def test_the_order_of_colors_is_the_network_s(tmp_path, photo, color):
    """A network that repeats pixels, with its first channel halved: only that one may change."""
    kernel = np.repeat(np.eye(3, dtype=np.float32), 4, axis=0)
    kernel[:4] *= 0.5
    nodes = [conv("x", "w", "b", "y", 1)]
    constants = {"w": kernel.reshape(12, 3, 1, 1), "b": np.zeros(12, np.float32)}
    path = write(
        tmp_path / "color.onnx", nodes, constants, 3, (1, 12, 64, 64), color=color, tail="subpixel", radius=0
    )  # fmt: skip
    image = photo("astronaut")[:40, 100:140]
    result = cvsr.upscale(image, 2, model=path)[::2, ::2].astype(np.float32)
    wanted = processing.ycrcb(image / np.float32(255)) if color.startswith("y") else image / np.float32(255)
    wanted[..., 2 if color == "rgb" else 0] *= 0.5
    wanted = cv2.cvtColor(wanted, cv2.COLOR_YCrCb2BGR) if color.startswith("y") else wanted
    assert np.abs(result - 255 * wanted.clip(0, 1)).max() <= 1


@pytest.mark.parametrize("facts", [{"multiple": 0}, {"multiple": 65}, {"inputs": "two"}])
def test_facts_that_make_no_sense_are_refused(tmp_path, facts):
    path = write(tmp_path / "odd.onnx", [onnxlite.node("Relu", ["x"], "y")], {}, **facts)
    with pytest.raises((OptionError, ModelError), match=next(iter(facts))):
        cvsr.open_model(path)


def test_a_network_that_sees_the_whole_image_is_not_cut_into_tiles(tmp_path, photo, monkeypatch):
    constants = {"w": weights(4, 1, 3, 3), "b": weights(4)}
    nodes, facts = [conv("x", "w", "b", "y", 3)], {"tail": "subpixel", "radius": "global"}
    path = write(tmp_path / "whole.onnx", nodes, constants, out=(1, 4, 64, 64), **facts)
    gray = photo("camera")[:90, :110]
    whole = cvsr.Upscaler(path, 2)(gray)
    assert np.array_equal(whole, cvsr.Upscaler(path, 2, tile=0)(gray))
    with pytest.raises(OptionError, match="whole image only"):
        cvsr.Upscaler(path, 2, tile=64)(gray)
    with pytest.raises(cvsr.MemoryBudgetError, match="MB"):
        cvsr.Upscaler(path, 2, max_memory=1000)(gray)
    monkeypatch.setattr(plan, "_MUCH", 1000)
    with pytest.warns(RuntimeWarning, match=r"whole image only.* about \d+ MB for 110x90"):
        cvsr.Upscaler(path, 2)(gray)


def test_gray_in_color_stays_gray(tmp_path):
    """8-bit chroma has its middle at 128, and 128 / 255 is not a half."""
    constants = {"w": np.repeat(np.float32(1), 4).reshape(4, 1, 1, 1), "b": np.zeros(4, np.float32)}
    path = write(tmp_path / "same.onnx", [conv("x", "w", "b", "y", 1)], constants, out=(1, 4, 64, 64), tail="subpixel")
    image = np.repeat(np.arange(0, 250, 10, dtype=np.uint8)[:, None, None], 3, axis=2).repeat(9, axis=1)
    for pixels in (image, image.astype(np.uint16) * 257, image.astype(np.float32) / 255):
        result = cvsr.upscale(pixels, 2, model=path)
        assert np.abs(result[::2, ::2] - pixels.astype(np.float64)).max() <= np.finfo(np.float32).eps


def test_a_gray_image_of_floats_through_a_network_of_color_is_exact_in_tiles(photo):
    gray = photo("astronaut")[:45, 100:163, 1] / np.float32(255)
    whole, tiled = (cvsr.Upscaler("carn", 2, exact=True, tile=tile)(gray) for tile in (0, 24))
    assert np.array_equal(whole, tiled)
