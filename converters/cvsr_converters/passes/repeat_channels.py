"""Write what repeats each channel in its place as the 1x1 convolution that does the same.

    x (1,3,H,W) ── Unsqueeze 2 ── Tile 1,1,4,1,1 ── Reshape (1,12,H,W)      →      x ── Conv 1x1 (one-hot, 12 of 3)

``torch.repeat_interleave`` along the channels, before a pixel shuffle: the skip of PLKSR and others. The Reshape holds
the size of the image; the convolution fits any.
"""

from __future__ import annotations

import numpy as np


def run(graph):
    """Apply the rewrite wherever it fits; return whether the graph has changed."""
    nodes = [n for n in graph.nodes if n.op == "Reshape"]
    shapes = graph.shapes() if nodes else {}
    changed = False
    for node in nodes:
        tile = graph.producer(node.inputs[0])
        if tile is None or tile.op not in ("Tile", "Expand"):
            continue
        above = graph.producer(tile.inputs[0], "Unsqueeze")
        if above is None:
            continue
        source, before, after = above.inputs[0], shapes.get(tile.inputs[0], ()), shapes.get(node.outputs[0], ())
        wide, shape = shapes.get(tile.outputs[0], ()), shapes.get(source, ())
        if len(shape) != 4 or not all((*shape, *wide, *after)):
            continue
        batch, channels, height, width = shape
        if before != (batch, channels, 1, height, width) or wide != (batch, channels, wide[2], height, width):
            continue
        if after != (batch, channels * wide[2], height, width):
            continue
        kernel = np.eye(channels, dtype=np.float32).repeat(wide[2], axis=0)[:, :, None, None]
        node.op, node.inputs = "Conv", [source, graph.constant(kernel, node.outputs[0])]
        node.attrs = {"kernel_shape": [1, 1]}
        graph.touch()
        changed = True
    return changed
