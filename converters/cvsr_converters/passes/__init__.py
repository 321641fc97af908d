"""Rewrites that bring a graph into the form which every OpenCV loads and computes right.

Each module holds one rewrite: a picture of it, and ``run(graph) -> bool`` that says whether it changed anything. No
general graph optimiser is used: some of those in use give wrong numbers, and here every rewrite is tested on its own.
To add one: write its file, put it into PASSES, and give it two tests, one where it fires and one where it must not.
"""

from __future__ import annotations

from cvsr_converters.passes import (
    canonical,
    clip,
    conv_transpose_pads,
    drop_dead,
    drop_identity,
    fold_bias,
    fold_constants,
    kernel_shape,
    merge_transposes,
    prelu,
    reshape,
    resize,
    shuffle,
)
from cvsr_converters.passes.graph import Graph

__all__ = ["PASSES", "Graph", "simplify"]

# In this order, again and again until none of them finds anything.
PASSES = (
    drop_dead,
    fold_constants,
    drop_identity,
    reshape,
    merge_transposes,
    prelu,  # before clip, which would take its Relu for a limit
    clip,
    resize,
    conv_transpose_pads,
    kernel_shape,
    fold_bias,
    shuffle,  # after fold_bias: what it reorders is a convolution with all of its bias
)


def simplify(model):
    """Return the ONNX model after all passes, in canonical order and with canonical names."""
    graph = Graph(model)
    for _ in range(100):
        changed = [rewrite.run(graph) for rewrite in PASSES]
        if not any(changed):
            break
    else:
        raise RuntimeError("the passes undo each other's work and never end: this is a bug in cvsr_converters.passes")
    canonical.run(graph)
    return graph.to_model()
