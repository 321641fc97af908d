"""Models that a program has in memory: of Keras with a fixed size too, and functions of TensorFlow."""

from __future__ import annotations

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="the converter needs TensorFlow")
pytest.importorskip("tf2onnx", reason="the converter needs tf2onnx")

import keras

import cvsr
from cvsr.errors import ModelError
from cvsr_converters import convert
from cvsr_converters.networks.layers import PixelShuffle

pytestmark = pytest.mark.training


def espcn(height=None, width=None):
    """Return a network that nearly repeats pixels."""
    image = keras.Input((height, width, 3))
    net = keras.Model(image, keras.layers.Conv2D(12, 3, padding="same")(image))
    random = np.random.default_rng(0)
    kernel = random.normal(0, 0.01, (3, 3, 3, 12))
    kernel[1, 1] += np.tile(np.eye(3), 4)
    net.set_weights([kernel, random.normal(0, 0.01, 12)])
    return keras.Model(image, PixelShuffle(2)(net(image)))


@pytest.mark.parametrize("size", [(None, None), (24, 32)])
def test_a_keras_model(tmp_path, photo, size):
    model, out = espcn(*size), tmp_path / "net_x2.onnx"
    report = convert(model, out, range=1)
    assert report.ok, report.text()
    assert ("fixed to 24x32" in " ".join(report.notes)) is (size[0] is not None)
    image = photo("astronaut")[:24, 100:132]
    wanted = model(image[None, ..., ::-1].astype(np.float32) / 255)[0].numpy()[..., ::-1]
    assert np.abs(cvsr.upscale(image, 2, model=out) - 255 * wanted.clip(0, 1)).max() <= 1


def test_a_model_of_one_size_only(tmp_path):
    image = keras.Input((8, 8, 1))
    flat = keras.layers.Dense(64)(keras.layers.Flatten()(image))
    model = keras.Model(image, keras.layers.Reshape((8, 8, 1))(flat))
    with pytest.raises(ModelError, match="any size"):
        convert(model, tmp_path / "out_x2.onnx", scale=2)
    assert list(tmp_path.iterdir()) == []


def test_a_function(tmp_path):
    kernel = tf.constant(np.random.default_rng(0).normal(0, 0.1, (3, 3, 1, 4)).astype(np.float32))

    def net(x):
        return tf.nn.depth_to_space(tf.nn.conv2d(x, kernel, 1, "SAME"), 2)

    report = convert(net, tmp_path / "net_x2.onnx", network_options={"channels": 1})
    assert report.ok, report.text()
    assert report.facts["tail"] == "subpixel"
