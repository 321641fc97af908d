"""Small networks with a pixel shuffle in the middle, which cannot be told from the number of channels."""

from __future__ import annotations

import numpy as np

from kit import graphdeflite, onnxlite


def conv(source: str, target: str, outputs: int, inputs: int) -> tuple[bytes, dict[str, np.ndarray]]:
    weight = np.random.default_rng(outputs).normal(0, 0.3, (outputs, inputs, 3, 3)).astype(np.float32)
    return onnxlite.node("Conv", [source, f"w{target}"], target, kernel_shape=[3, 3], pads=[1] * 4), {
        f"w{target}": weight
    }


def shuffled(mode: str = "") -> bytes:
    """A network with a shuffle that the number of channels does not tell: 8 to 2, or 12 to 3 in PyTorch's order."""
    channels, inside = (3, 3) if mode else (1, 2)
    (first, w), (last, v) = conv("x", "h", inside * 4, channels), conv("s", "y", channels, inside)
    shuffle = onnxlite.node("DepthToSpace", ["h"], "s", blocksize=2)
    if mode:
        shuffle += onnxlite._field(5, onnxlite._field(1, "mode") + onnxlite._field(4, mode) + onnxlite._field(20, 3))
    shape = (1, channels, 128, 128)
    facts = {"cvsr.scale": "2", "cvsr.color": "rgb" if mode else "luma", "cvsr.range": "1", "cvsr.radius": "2"}
    return onnxlite.model([first, shuffle, last], w | v, {"x": (1, channels, 64, 64)}, {"y": shape}, facts)


NETWORKS = {"eight_x2.onnx": shuffled(), "crd_x2.onnx": shuffled("CRD")}


def frozen() -> bytes:
    """A frozen graph of such a kind, with the name in it that OpenCV's dnn_superres asks for."""
    w = graphdeflite.Weights()
    return (
        graphdeflite.node("in", "Placeholder")
        + graphdeflite.conv("c1", "in", w.kernel(3, 3, 1, 8))
        + graphdeflite.node("shuffle", "DepthToSpace", ["c1"], block_size=2, data_format="NHWC")
        + graphdeflite.conv("c2", "shuffle", w.kernel(3, 3, 2, 1))
        + graphdeflite.transpose("NCHW_output", "c2")
    )
