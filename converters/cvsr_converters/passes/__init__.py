"""Rewrite graphs into a form that every OpenCV loads and computes correctly.

Each module is one rewrite: a diagram of it, and ``run(graph)``, which applies it wherever it fits. No general graph
optimizer is used, because some give wrong results; here, every rewrite is tested separately. To add one: write its
file, put its name into PASSES or LOWERING, and write two tests, one in which it applies and one in which it must not.

There are two stages. :func:`simplify` brings the many spellings of the frameworks into one form, without loss: every
pixel shuffle becomes a DepthToSpace. Targets work on that form. :func:`lower` comes last, and replaces operators that
are valid ONNX but fail, or give wrong results, in some OpenCV.
"""

import importlib

from cvsr_converters.passes import canonical
from cvsr_converters.passes.graph import Graph

__all__ = ["LOWERING", "PASSES", "Graph", "apply", "lower", "simplify"]


def _modules(folder, *names):
    return tuple(importlib.import_module(f"{__name__}.{folder}.{name}") for name in names)


# In this order, repeated until none of them changes anything.
PASSES = _modules(
    "simplify",
    "drop_dead",
    "fold_constants",
    "fold_shape",
    "drop_identity",
    "negative_pads",  # before all passes that need the shapes after them
    "whole_slice",
    "scatter_channels",
    "group_norm",  # before its parts are spelled out
    "group_axes",
    "reshape",
    "matmul",
    "merge_transposes",
    "sink_transposes",
    "keep_axes",
    "recognize_moves",
    "reduce",
    "spell_out",
    "prelu",  # before clip, which would treat its Relu as a limit
    "clip",
    "resize",
    "pad_conv",
    "batch_norm",
    "affine",
    "fold_scale",
    "fold_bias",
    "branches",  # before conv_chain: convolutions merged there are no longer branches
    "conv_chain",
    "depth_to_space",  # after fold_bias: it reorders convolutions with their complete bias
    "shuffle_last",
)
# Applied in the same way, after PASSES.
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

    ``keep``: rewrites of LOWERING to omit, for targets that handle these operators themselves.
    """
    return _rewritten(model, [rewrite for rewrite in LOWERING if rewrite not in keep])


def _rewritten(model, rewrites):
    graph = Graph(model)
    for _ in range(100):
        changed = [apply(rewrite, graph) for rewrite in rewrites]
        if not any(changed):
            break
    else:
        raise RuntimeError("the passes undo each other and never end: this is a bug in cvsr_converters.passes")
    canonical.run(graph)
    return graph.to_model()


def apply(rewrite, graph):
    """Run one rewrite on a graph; return whether it has changed anything."""
    before = graph.changes
    rewrite.run(graph)
    return graph.changes != before
