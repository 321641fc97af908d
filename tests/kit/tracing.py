"""What tests of several sources share."""

from __future__ import annotations

import numpy as np
import onnxruntime

from cvsr_converters.conversion import trace


def operations(original, sizes=((40, 24), (16, 48)), tolerance=2e-5):
    """Trace an Original and compare its ONNX graph with it at other sizes; return the graph's operations."""
    model = trace.trace(original)
    for info in [*model.graph.input, *model.graph.output]:
        for number, dim in enumerate(info.type.tensor_type.shape.dim[2:]):
            dim.dim_param = f"{info.name}{number}"
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    random = np.random.default_rng(3)
    for size in sizes:
        blobs = [random.random((1, i.channels, *(n * i.factor for n in size)), np.float32) for i in original.inputs]
        wanted = original.run(*blobs)
        got = session.run(None, dict(zip([i.name for i in model.graph.input], blobs, strict=True)))
        for one, two in zip(got, wanted, strict=True):
            np.testing.assert_allclose(one, two, atol=tolerance * max(np.ptp(two), 1))
    return [node.op_type for node in model.graph.node]
