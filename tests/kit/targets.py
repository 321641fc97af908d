"""What the tests of the targets share: small networks as ONNX graphs, and running them."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper, parser

from cvsr_converters.facts import UNKNOWN, Facts

random = np.random.default_rng(3)


def network(body, inputs, out, **constants):
    """Return the ONNX model of ``body``: float inputs {name: (C, H, W)} to y, of shape ``out``."""
    dims = [f"float[1,{','.join(map(str, shape))}] {name}" for name, shape in inputs.items()]
    head = f'<ir_version: 7, opset_import: ["": 13]> g ({", ".join(dims)}) => (float[1,{",".join(map(str, out))}] y)'
    model = parser.parse_model(f"{head} {{ {body} }}")
    model.graph.initializer.extend(numpy_helper.from_array(np.float32(a), n) for n, a in constants.items())
    return model


def weights(*shape, gain=1.0):
    return gain * random.normal(size=shape) / np.sqrt(np.prod(shape[1:]))


def small(channels, color, white=1, size=3, mode="CRD", **facts):
    """Return (network, facts) of two convolutions and a pixel shuffle x2, near an enlargement without change."""
    head = weights(8, channels, size, size, gain=0.05)
    head[:channels, :, size // 2, size // 2] += np.eye(channels)
    tail = weights(4 * channels, 8, size, size, gain=0.05)
    copies = np.repeat(np.eye(channels), 4, 0) if mode == "CRD" else np.tile(np.eye(channels), (4, 1))
    tail[:, :channels, size // 2, size // 2] += copies
    pads = f"kernel_shape = [{size}, {size}], pads = [{', '.join([str(size // 2)] * 4)}]"
    body = f"""a = Conv<{pads}>(x, w, b) c = LeakyRelu<alpha = 0.5>(a) d = Conv<{pads}>(c, v, e)
               y = DepthToSpace<blocksize = 2, mode = "{mode}">(d)"""
    biases = {"b": white * weights(8, gain=0.03), "e": white * weights(4 * channels, gain=0.03)}
    model = network(body, {"x": (channels, 48, 64)}, (channels, 96, 128), w=head, v=tail, **biases)
    return model, Facts(name="small", scale=2, color=color, range=white, **facts)


def facts_of(info):
    """Return what a converter would know of a model file with this ModelInfo."""
    return Facts(**{key: getattr(info, key) for key in vars(UNKNOWN) if hasattr(info, key)})


def original(model):
    """Return the network as a function of arrays of any size."""
    free = onnx.ModelProto.FromString(model.SerializeToString())
    for info in [*free.graph.input, *free.graph.output]:
        for number, dim in enumerate(info.type.tensor_type.shape.dim[2:]):
            dim.dim_param = f"{info.name}{number}"
    session = onnxruntime.InferenceSession(free.SerializeToString(), providers=["CPUExecutionProvider"])
    return lambda *blobs: session.run(None, {i.name: b for i, b in zip(session.get_inputs(), blobs, strict=True)})
