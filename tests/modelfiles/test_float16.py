"""Models whose weights are stored in 16 bits: the same graph as if they were in 32."""

from __future__ import annotations

import numpy as np
from kit import onnxlite

import cvsr
from cvsr._cv2 import cv2
from cvsr.bench import cost
from cvsr.inference.network import as_onnx
from cvsr.modelfiles import float16, onnx_reader, zoo


def test_bundled_models_in_16_bits_are_the_same_in_32():
    stored = [entry for entry in zoo.models() if "Cast" in zoo.find(entry.family)[entry.scale].ops]
    assert stored, "some are"
    for entry in stored:
        info = zoo.find(entry.family)[entry.scale]
        plain = as_onnx(info).onnx
        facts = onnx_reader.read_onnx(plain)
        assert "Cast" not in facts.ops and len(plain) > 1.3 * info.path.stat().st_size
        assert (
            len(facts.ops) < len(info.ops) and facts.metadata == onnx_reader.read_onnx(info.path.read_bytes()).metadata
        )
        assert cost.macs(info, (10, 10)) is None or cost.macs(info, (10, 10)) > 0.9 * info.parameters * 100


def test_other_files_stay_as_they_are():
    data = onnxlite.conv_chain(4, 1, 2, 0)
    assert float16.expanded(data) is data and float16.expanded(b"") == b""


def test_an_old_opencv_gets_32_bits(monkeypatch, photo):
    """OpenCV 4.6 reads no 16 bits; the suite of versions runs it, this is how the file goes there."""
    from cvsr.inference import network

    image, asked = photo("astronaut")[:24, :24], []
    real = cv2.dnn.readNetFromONNX
    # the file as it is, but from memory too: from there 5.0 takes another engine, whose last bits are others
    with monkeypatch.context() as patch:
        patch.setattr(
            network.cv2.dnn,
            "readNetFromONNX",
            lambda what, **_: real(np.fromfile(what, np.uint8) if isinstance(what, str) else what),
        )
        wanted = cvsr.upscale(image, 2, model="rdn", device="cpu")
    monkeypatch.setattr(network, "VERSION", (4, 6, 0))
    monkeypatch.setattr(
        network.cv2.dnn, "readNetFromONNX", lambda what, **more: asked.append(what) or real(what, **more)
    )
    made = cvsr.Upscaler("rdn", 2, device="cpu")(image)
    assert not isinstance(asked[0], str) and np.array_equal(made, wanted)
