"""Rewrites that bring a graph into the form which every OpenCV loads and computes right.

Each module is one rewrite: a diagram of it, and ``run(graph)``, which applies it wherever it fits. No general graph
optimizer is used: some of those in use give wrong numbers, and here every rewrite is tested on its own. To add one:
write its file, put its name into PASSES or LOWERING, and write two tests, one in which it applies and one in which it
must not.

There are two stages. :func:`simplify` gives one form to what frameworks write in many ways, and loses nothing: a
pixel shuffle is a DepthToSpace after it. Targets look at that form. :func:`lower` comes last, and replaces what is
right in ONNX but not in every OpenCV.
"""

import importlib

from cvsr_converters.passes import canonical
from cvsr_converters.passes.graph import Graph

__all__ = ["LOWERING", "PASSES", "Graph", "apply", "lower", "simplify"]


def _modules(folder, *names):
    return tuple(importlib.import_module(f"{__name__}.{folder}.{name}") for name in names)


# In this order, again and again until none of them finds anything.
PASSES = _modules(
    "simplify",
    "drop_dead",
    "fold_constants",
    "fold_shape",
    "drop_identity",
    "negative_pads",  # before all that needs the shapes behind them
    "whole_slice",
    "scatter_channels",
    "group_norm",  # before what it consists of is spelled out
    "group_axes",
    "reshape",
    "matmul",
    "merge_transposes",
    "sink_transposes",
    "keep_axes",
    "recognize_moves",
    "reduce",
    "spell_out",
    "prelu",  # before clip, which would take its Relu for a limit
    "clip",
    "resize",
    "pad_conv",
    "batch_norm",
    "affine",
    "fold_scale",
    "fold_bias",
    "branches",  # before conv_chain: what is merged there is no branch of this any more
    "conv_chain",
    "depth_to_space",  # after fold_bias: what it reorders is a convolution with all of its bias
    "shuffle_last",
)
# The same way, on what PASSES leave.
LOWERING = PASSES[:1] + _modules(  # drop_dead
    "lower",
    "cubic",
    "average_pool",
    "space_to_depth",
    "subpixel",
    "shuffle",
    "conv_transpose_pads",
    "kernel_shape",
    "channel_extremes",
    "few_outputs",
    "plain_layout",
)


def simplify(model):
    """Return the ONNX model after all of PASSES, in canonical order and with canonical names."""
    return _rewritten(model, PASSES)


def lower(model, keep=()):
    """Return a simplified ONNX model in the form that every OpenCV runs, in canonical order and with canonical names.

    ``keep``: rewrites of LOWERING to leave out, for targets that have their own way.
    """
    return _rewritten(model, [rewrite for rewrite in LOWERING if rewrite not in keep])


def _rewritten(model, rewrites):
    graph = Graph(model)
    for _ in range(100):
        changed = [apply(rewrite, graph) for rewrite in rewrites]
        if not any(changed):
            break
    else:
        raise RuntimeError("the passes undo each other's work and never end: this is a bug in cvsr_converters.passes")
    canonical.run(graph)
    return graph.to_model()


def apply(rewrite, graph):
    """Run one rewrite on a graph; return whether it has changed anything."""
    before = graph.changes
    rewrite.run(graph)
    return graph.changes != before
