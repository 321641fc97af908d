"""Convert float16 weights to float32, for OpenCV before 4.8 and for the code that rewrites graphs.

weight (float16) ── Cast to float32 ── Conv      →      weight (float32) ── Conv
"""

import numpy as np

from cvsr.modelfiles import onnx_writer, protobuf

_FLOAT16 = 10


def expanded(data: bytes) -> bytes:
    """Return an ONNX file with float16 constants as float32, without the Casts after them; other files unchanged."""
    graph = next(protobuf.messages(data, 7), None)
    if graph is None:
        return data
    constants = {
        protobuf.text(tensor, 8): dict(protobuf.fields(tensor)).get(2) for tensor in protobuf.messages(graph, 5)
    }
    casts = {
        name: protobuf.text(node, 2)
        for node in protobuf.messages(graph, 1)
        if protobuf.text(node, 4) == "Cast"
        and (name := protobuf.text(node, 1)) in constants
        and constants[name] == _FLOAT16
    }
    if not casts:
        return data
    parts: list[bytes] = []
    for number, value in protobuf.fields(graph):
        part = value if isinstance(value, memoryview) else b""
        if number == 1 and protobuf.text(part, 4) == "Cast" and protobuf.text(part, 1) in casts:
            continue
        if number == 5 and isinstance(part, memoryview) and (name := protobuf.text(part, 8)) in casts:
            raw = next(protobuf.messages(part, 9))
            array = np.frombuffer(raw, "<f2").astype(np.float32).reshape(protobuf.ints(part, 1))
            parts.append(protobuf.block(5, onnx_writer.tensor(casts[name], array)))
        else:
            parts.append(protobuf.field_of(number, value))
    return onnx_writer.with_graph(data, parts)
