"""Where training starts: at random, from another run, or from a finished model file.

Layers in ``fresh``, such as a tail of another scale, stay random. Blocks that the source lacks begin as the identity,
and channels that it lacks are read by nobody at first, so that a deeper or wider network starts where the smaller one
ended (Chen et al. 2016, "Net2Net").
"""

import json
from pathlib import Path

import numpy as np

from cvsr.modelfiles import float16, zoo
from cvsr_converters.training import task


def begin(model, start, runs):
    """Set the weights as a recipe's ``start`` says: from a ``run``, a folder in ``runs``, or a ``model``.

    A model is the path of a file, or the name of one that comes with cvsr, such as "cvsr-medium_x2".
    """
    if "model" in start:
        path = Path(start["model"])
        path = path if path.is_file() else next(iter(zoo.find(start["model"]).values())).path
        from_file(model, path, start.get("fresh", []))
    else:
        from_run(model, Path(runs) / start["run"], start.get("fresh", []))


def from_run(model, run, fresh=()):
    """Set the weights that a finished run left: by the layers' names, or in their order where those were made up."""
    recipe = json.loads((run / "record.json").read_text("utf-8"))["recipe"]
    source = task.built(recipe["network"])
    source.load_weights(run / "average.weights.h5")
    there, here = ([layer for layer in m.layers if layer.weights] for m in (source, model))
    known = {layer.name: layer for layer in there}
    if here[0].name not in known:
        known = {layer.name: other for layer, other in zip(here, there, strict=True)}
    for layer in here:
        if layer.name in known and layer.name not in fresh:
            if getattr(layer, "zero_mean", False):
                check_mean(layer, known[layer.name].kernel())
            layer.set_weights(known[layer.name].get_weights())
        elif getattr(layer, "identity", False):
            layer.narrow.assign(0 * layer.narrow)


def from_file(model, path, fresh=()):
    """Factor the kernels of an exported chain of convolutions into expansions and projections that give them."""
    import onnx

    graph = onnx.load_from_string(float16.expanded(Path(path).read_bytes())).graph
    values = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    convs = [[values[name] for name in node.input[1:3]] for node in graph.node if node.op_type == "Conv"]
    layers = [layer for layer in model.layers if hasattr(layer, "wide")]
    sources = [*convs[:-1], *[None] * (len(layers) - len(convs)), convs[-1]]
    for layer, source in zip(layers, sources, strict=True):
        if source is None:
            layer.narrow.assign(0 * layer.narrow)
        elif layer.name not in fresh:
            factor(layer, *widened(layer, source[0].transpose(2, 3, 1, 0), source[1]))


def widened(layer, kernel, bias):
    """Return a kernel and bias of the layer's size that do on the first channels what the given ones do.

    The further outputs begin at random, and none of the first reads the further inputs: the function stays the same,
    and the new channels have something to learn from.
    """
    shape = (*kernel.shape[:2], layer.wide.shape[2], layer.filters)
    inputs, outputs = kernel.shape[2:]
    result = np.random.default_rng(0).normal(0, (2 / np.prod(shape[:3])) ** 0.5, shape).astype(np.float32)
    if layer.zero_mean:
        result -= result.mean((0, 1))
    result[..., :outputs] = 0
    result[:, :, :inputs, :outputs] = kernel
    return result, np.concatenate([bias, np.zeros(shape[3] - outputs, np.float32)])


def check_mean(layer, kernel):
    """Raise ValueError, with what to do, where a layer whose kernels have no mean is to hold ones that do."""
    kernel = np.asarray(kernel)
    if np.abs(kernel.mean((0, 1))).max() > 0.01 * np.abs(kernel).max():
        raise ValueError(
            f"the kernels to start from have a mean, and those of {layer.name} must not: "
            f'name "{layer.name}" in [start] fresh, with the layers after it, or set zero_mean = false in [network]'
        )


def factor(layer, kernel, bias):
    """Set the weights of a collapsible layer so that its merged kernel is ``kernel``, shape (k, k, in, out).

    The singular values are shared evenly; columns of the expansion that are not needed keep their random weights, and
    rows of the projection that meet them are zero.
    """
    if layer.zero_mean:
        check_mean(layer, kernel)
    matrix = (kernel - layer.delta if layer.identity else kernel).reshape(-1, kernel.shape[-1])
    u, s, v = np.linalg.svd(matrix, full_matrices=False)
    wide = np.array(layer.wide).reshape(-1, layer.expand)
    narrow = np.zeros((layer.expand, kernel.shape[-1]), np.float32)
    if len(s) > layer.expand:
        raise ValueError(f"{layer.name} expands to {layer.expand} channels, and its kernel needs {len(s)}")
    wide[:, : len(s)], narrow[: len(s)] = u * np.sqrt(s), np.sqrt(s)[:, None] * v
    layer.set_weights([wide.reshape(layer.wide.shape), narrow, bias])
