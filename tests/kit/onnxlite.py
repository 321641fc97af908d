"""Write tiny ONNX files for tests, byte by byte, so that no test needs the onnx package.

``conv_chain`` has the shape of the bundled models: 5x5 conv, ``blocks`` 3x3 convs with ReLU, 3x3 conv to scale² planes.
Field numbers are those of onnx.proto3.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

SIZE = 64
FLOAT, INT, INTS = 1, 2, 7  # TensorProto.FLOAT, AttributeProto.INT and .INTS


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _field(number: int, value: int | str | bytes) -> bytes:
    """One protobuf field: a varint, or a length and that many bytes (text, bytes, a nested message)."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _fields(number: int, values: Iterable[int | str | bytes]) -> bytes:
    return b"".join(_field(number, value) for value in values)


def attribute(name: str, value: int | list[int]) -> bytes:
    if isinstance(value, int):
        return _field(1, name) + _field(3, value) + _field(20, INT)
    return _field(1, name) + _fields(8, value) + _field(20, INTS)


def node(op: str, inputs: list[str], output: str, **attributes: int | list[int]) -> bytes:
    body = _fields(1, inputs) + _field(2, output) + _field(3, output) + _field(4, op)
    return body + _fields(5, (attribute(key, value) for key, value in attributes.items()))


def tensor(name: str, array: NDArray[np.float32]) -> bytes:
    data = np.ascontiguousarray(array, "<f4").tobytes()
    return _fields(1, array.shape) + _field(2, FLOAT) + _field(8, name) + _field(9, data)


def value_info(name: str, shape: tuple[int, ...]) -> bytes:
    dims = _fields(1, (_field(1, extent) for extent in shape))
    return _field(1, name) + _field(2, _field(1, _field(1, FLOAT) + _field(2, dims)))


def model(
    nodes: list[bytes],
    weights: Mapping[str, NDArray[np.float32]],
    inputs: Mapping[str, tuple[int, ...]],
    outputs: Mapping[str, tuple[int, ...]],
    metadata: Mapping[str, str] | None = None,
) -> bytes:
    """Assemble a ModelProto (IR 7, opset 13) from nodes in order, named weights, and named shapes."""
    graph = (
        _fields(1, nodes)
        + _field(2, "tiny")
        + _fields(5, (tensor(name, array) for name, array in weights.items()))
        + _fields(11, (value_info(name, shape) for name, shape in inputs.items()))
        + _fields(12, (value_info(name, shape) for name, shape in outputs.items()))
    )
    props = _fields(14, (_field(1, key) + _field(2, value) for key, value in (metadata or {}).items()))
    opset = _field(8, _field(1, "") + _field(2, 13))
    return _field(1, 7) + _field(2, "onnxlite") + _field(7, graph) + opset + props


def metadata(name: str, scale: int, radius: int, parameters: int) -> dict[str, str]:
    """What a bundled luma model says of itself."""
    return {
        "cvsr.version": "1",
        "cvsr.name": name,
        "cvsr.scale": str(scale),
        "cvsr.color": "luma",
        "cvsr.range": "1",
        "cvsr.tail": "subpixel",
        "cvsr.skip": "nearest",
        "cvsr.radius": str(radius),
        "cvsr.parameters": str(parameters),
        "cvsr.license": "Apache-2.0",
    }


def conv_chain(
    channels: int = 8,
    blocks: int = 2,
    scale: int = 2,
    seed: int = 0,
    *,
    name: str = "tiny",
    props: Mapping[str, str] | None = None,
) -> bytes:
    """Build a luma model, (1,1,64,64) in and (1,scale²,64,64) out, with random weights and bundled-style metadata.

    ``props`` are added to the metadata or replace it key by key; an empty string removes the key.
    The weights keep the output around ±0.1, so that it acts as the correction to a picture that it is in real models.
    """
    rng = np.random.default_rng(seed)
    plan = [(1, channels, 5), *[(channels, channels, 3)] * blocks, (channels, scale * scale, 3)]
    nodes: list[bytes] = []
    weights: dict[str, NDArray[np.float32]] = {}
    current = "input"
    for index, (fan_in, fan_out, kernel) in enumerate(plan):
        last = index == len(plan) - 1
        deviation = (0.1 if last else 1.0) * (2 / (fan_in * kernel * kernel)) ** 0.5
        weights[f"w{index}"] = rng.normal(0, deviation, (fan_out, fan_in, kernel, kernel)).astype(np.float32)
        weights[f"b{index}"] = rng.normal(0, 0.02, fan_out).astype(np.float32)
        conv = "output" if last else f"conv{index}"
        inputs = [current, f"w{index}", f"b{index}"]
        nodes.append(node("Conv", inputs, conv, kernel_shape=[kernel] * 2, pads=[kernel // 2] * 4))
        current = conv
        if not last:
            current = f"relu{index}"
            nodes.append(node("Relu", [conv], current))
    facts = metadata(name, scale, sum(kernel // 2 for *_, kernel in plan), sum(w.size for w in weights.values()))
    facts |= props or {}
    return model(
        nodes,
        weights,
        {"input": (1, 1, SIZE, SIZE)},
        {"output": (1, scale * scale, SIZE, SIZE)},
        {key: value for key, value in facts.items() if value},
    )
