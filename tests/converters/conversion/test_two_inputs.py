"""A network that reads the image and its bicubic enlargement (DCSCN), from a graph of TensorFlow 1 to a picture."""

from __future__ import annotations

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="the converter needs TensorFlow")
pytest.importorskip("tf2onnx", reason="the converter needs tf2onnx")
cv2 = pytest.importorskip("cv2")

import cvsr
from cvsr.errors import ModelError
from cvsr_converters import convert

pytestmark = pytest.mark.training
kernel = np.random.default_rng(0).normal(0, 0.05, (3, 3, 1, 4)).astype(np.float32)


@pytest.fixture(scope="module")
def dcscn(tmp_path_factory):
    """The path of a graph that adds the details of a sub-pixel convolution to the enlarged image."""
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, (None, None, None, 1), "x")
        x2 = tf.compat.v1.placeholder(tf.float32, (None, None, None, 1), "x2")
        details = tf.nn.depth_to_space(tf.nn.tanh(tf.nn.conv2d(x, kernel, 1, "SAME")), 2)
        tf.add(details, x2, name="output")
    path = tmp_path_factory.mktemp("dcscn") / "dcscn.pb"
    path.write_bytes(graph.as_graph_def().SerializeToString())
    return path


def test_the_runtime_feeds_both(dcscn, photo, tmp_path):
    out = tmp_path / "dcscn_x2.onnx"
    report = convert(dcscn, out, range=1)
    assert report.ok, report.text()
    assert report.facts["inputs"] == "image,bicubic"
    gray = photo("camera")[100:177, 60:153]
    fed = tf.constant(gray[None, :, :, None] / np.float32(255))
    details = tf.nn.depth_to_space(tf.nn.tanh(tf.nn.conv2d(fed, kernel, 1, "SAME")), 2)[0, :, :, 0].numpy()
    large = cv2.resize(gray / np.float32(255), None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    wanted = np.clip(np.rint(255 * (details + large)), 0, 255)
    assert np.abs(cvsr.upscale(gray, 2, model=out) - wanted).max() <= 1
    tiled = cvsr.Upscaler(out, 2, tile=32, exact=True)(gray)
    assert np.array_equal(tiled, cvsr.Upscaler(out, 2, tile=0, exact=True)(gray))


def test_standalone_enlarges_inside(dcscn, tmp_path):
    report = convert(dcscn, tmp_path / "plain_x2.onnx", to="standalone", range=1)
    assert report.ok, report.text()


def test_dnn_superres_cannot(dcscn, tmp_path):
    with pytest.raises(ModelError, match="convert to ONNX"):
        convert(dcscn, tmp_path / "dcscn_x2.pb", to="pb", range=1)
