"""Convert ONNX to ncnn: convolutions, activations and sums only. ncnn's own converter is not in its Python package.

The format: https://github.com/Tencent/ncnn/wiki/param-and-model-file-structure
"""

import struct
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from cvsr.errors import ModelError
from cvsr.modelfiles import onnx_reader, protobuf

_MAGIC = "7767517"
_AS_FLOAT32 = struct.pack("<i", 0)  # precedes weights


class _Writer:
    """Writes the layers of a network as text, and their weights."""

    def __init__(self, graph: memoryview) -> None:
        self.lines: list[str] = []
        self.weights: list[bytes] = []
        self._blobs = 0
        self._constants = {protobuf.text(tensor, 8): tensor for tensor in protobuf.messages(graph, 5)}
        nodes = list(protobuf.messages(graph, 1))
        self._readers = Counter(name for node in nodes for name in _names(node, 1) if name not in self._constants)
        (self.input,) = [
            name
            for value in protobuf.messages(graph, 11)
            if (name := onnx_reader.value_info(value)[0]) not in self._constants
        ]
        self.output = protobuf.text(next(protobuf.messages(graph, 12)), 1)
        self._copies: dict[str, list[str]] = {}
        self._layer("Input", [], self.input, "")
        for node in nodes:
            self._node(node)

    def _node(self, node: memoryview) -> None:
        op, names, (output,) = protobuf.text(node, 4), _names(node, 1), _names(node, 2)
        sources = [self._copies[name].pop() for name in names if name not in self._constants]
        constants = [self._constants[name] for name in names if name in self._constants]
        if op == "Conv":
            weight, *bias = map(_values, constants)
            outputs, _, height, width = weight.shape
            numbers = {0: outputs, 1: width, 11: height, 4: width // 2, 14: height // 2, 6: weight.size}
            numbers |= {5: len(bias)}
            self.weights += [_AS_FLOAT32, weight.tobytes(), *(each.tobytes() for each in bias)]
            self._layer("Convolution", sources, output, " ".join(f"{key}={value}" for key, value in numbers.items()))
        elif op == "PRelu":
            slopes = _values(constants[0])
            self.weights.append(slopes.tobytes())
            self._layer("PReLU", sources, output, f"0={slopes.size}")
        elif op == "LeakyRelu":
            self._layer("ReLU", sources, output, f"0={_alpha(node)}")
        elif op == "Relu":
            self._layer("ReLU", sources, output, "")
        elif op == "Add" and len(sources) == 2:
            self._layer("BinaryOp", sources, output, "0=0")
        else:
            raise ModelError(f"cvsr cannot convert {op} to ncnn")

    def _layer(self, kind: str, sources: list[str], output: str, numbers: str) -> None:
        self.lines.append(" ".join([kind, output, str(len(sources)), "1", *sources, output, numbers]))
        self._blobs += 1
        copies = self._readers[output]
        self._copies[output] = [output]
        if copies > 1:  # ncnn allows one reader for each blob
            self._copies[output] = [f"{output}_{i}" for i in range(copies)]
            parts = ["Split", f"{output}_split", "1", str(copies), output, *self._copies[output]]
            self.lines.append(" ".join(parts))
            self._blobs += copies

    def text(self) -> str:
        """Return the .param file."""
        return "\n".join([_MAGIC, f"{len(self.lines)} {self._blobs}", *self.lines]) + "\n"


def _names(node: memoryview, number: int) -> list[str]:
    return [bytes(name).decode() for name in protobuf.messages(node, number)]


def _values(tensor: memoryview) -> Any:
    raw = next(protobuf.messages(tensor, 9), None)
    if raw is None:
        raise ModelError("cvsr cannot convert weights to ncnn that are not stored as raw bytes")
    return np.frombuffer(raw, "<f4").reshape(protobuf.ints(tensor, 1))


def _alpha(node: memoryview) -> float:
    for attribute in protobuf.messages(node, 5):
        if protobuf.text(attribute, 1) == "alpha":
            return struct.unpack("<f", dict(protobuf.fields(attribute))[2])[0]  # pyright: ignore[reportArgumentType]
    return 0.01


def load(module: Any, data: bytes, threads: int) -> tuple[Any, str, str]:
    """Return ncnn's (net, input name, output name), in float32, for the bytes of an ONNX file. Raises ModelError."""
    written = _Writer(next(protobuf.messages(data, 7)))
    net = module.Net()
    net.opt.num_threads = threads
    for half in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage", "use_bf16_packed"):
        if hasattr(net.opt, half):
            setattr(net.opt, half, False)
    with tempfile.TemporaryDirectory() as folder:
        layers, weights = Path(folder, "net.param"), Path(folder, "net.bin")
        layers.write_text(written.text(), "utf-8")
        weights.write_bytes(b"".join(written.weights))
        if net.load_param(str(layers)) or net.load_model(str(weights)):
            raise ModelError("ncnn cannot load the converted model")
    return net, written.input, written.output
