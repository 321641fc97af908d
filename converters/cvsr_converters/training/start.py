"""Where training starts: at random, from another run, or from a finished model file.

Layers in ``fresh``, such as a tail of another scale, stay random. Blocks that the source lacks begin as the identity,
so that a deeper network starts where the shallower one ended (Chen et al. 2016, "Net2Net").
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cvsr_converters import networks


def begin(model, start, runs):
    """Set the weights as a recipe's ``start`` says: from a ``run``, a folder in ``runs``, or a ``model`` file."""
    if "model" in start:
        from_file(model, start["model"], start.get("fresh", []))
    else:
        from_run(model, Path(runs) / start["run"] / "average.weights.h5", start["network"], start.get("fresh", []))


def from_run(model, weights, options, fresh=()):
    """Load the weights that a run of the network with ``options`` left."""
    source = networks.build(model.name, **options)
    source.load_weights(weights)
    known = {layer.name for layer in source.layers}
    for layer in model.layers:
        if layer.weights and layer.name in known and layer.name not in fresh:
            layer.set_weights(source.get_layer(layer.name).get_weights())
        elif getattr(layer, "identity", False):
            layer.narrow.assign(0 * layer.narrow)


def from_file(model, path, fresh=()):
    """Factor the kernels of an exported chain of convolutions into expansions and projections that give them."""
    import onnx

    graph = onnx.load(path).graph
    values = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    convs = [[values[name] for name in node.input[1:3]] for node in graph.node if node.op_type == "Conv"]
    layers = [layer for layer in model.layers if hasattr(layer, "wide")]
    sources = [*convs[:-1], *[None] * (len(layers) - len(convs)), convs[-1]]
    for layer, source in zip(layers, sources, strict=True):
        if source is None:
            layer.narrow.assign(0 * layer.narrow)
        elif layer.name not in fresh:
            factor(layer, source[0].transpose(2, 3, 1, 0), source[1])


def factor(layer, kernel, bias):
    """Set the weights of a collapsible layer so that its merged kernel is ``kernel``, shape (k, k, in, out).

    The singular values are shared evenly; columns of the expansion that are not needed keep their random weights, and
    rows of the projection that meet them are zero.
    """
    matrix = (kernel - layer.delta if layer.identity else kernel).reshape(-1, kernel.shape[-1])
    u, s, v = np.linalg.svd(matrix, full_matrices=False)
    wide = np.array(layer.wide).reshape(-1, layer.expand)
    narrow = np.zeros((layer.expand, kernel.shape[-1]), np.float32)
    if len(s) > layer.expand:
        raise ValueError(f"{layer.name} expands to {layer.expand} channels, and its kernel needs {len(s)}")
    wide[:, : len(s)], narrow[: len(s)] = u * np.sqrt(s), np.sqrt(s)[:, None] * v
    layer.set_weights([wide.reshape(layer.wide.shape), narrow, bias])
