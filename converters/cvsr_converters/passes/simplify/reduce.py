"""Replace reductions over the image or the channels by operations that every OpenCV computes correctly.

    ReduceMean (rows, columns)      →      GlobalAveragePool
    ReduceMax  (rows, columns)      →      GlobalMaxPool
    ReduceMean (channels)           →      Conv 1x1 (weights 1 / C)
    ReduceMin  (rows, columns)      →      Neg ── GlobalMaxPool ── Neg
    ReduceL2   (channels)           →      Mul ── Conv 1x1 (weights 1) ── Sqrt

OpenCV 4.8 silently computes wrong results for reductions over channels, and 4.6 for nearly all reductions.
``channel_extremes`` replaces the others.
"""

import numpy as np

GLOBAL = {"ReduceMean": "GlobalAveragePool", "ReduceMax": "GlobalMaxPool"}
OPS = ("ReduceMean", "ReduceMax", "ReduceMin", "ReduceSum", "ReduceSumSquare", "ReduceL2", "ReduceL1")


def run(graph):
    nodes, shapes = graph.select(*OPS)
    for node in nodes:
        shape, axes = shapes.get(node.inputs[0], ()), _axes(node, graph)
        if len(shape) != 4 or axes is None:
            continue
        axes = sorted(axis % 4 for axis in axes)
        if not node.attrs.get("keepdims", 1):
            _keep(node, axes, shape, shapes, graph)
        elif axes == [2, 3] and node.op != "ReduceSum":
            _pixels(node, graph)
        elif axes == [1] and shape[1] and node.op not in ("ReduceMax", "ReduceMin"):
            _channels(node, shape[1], graph)


def _axes(node, graph):
    array = graph.array(node, 1)
    return node.attrs.get("axes") if array is None else array.tolist()


def _keep(node, axes, shape, shapes, graph):
    """Keep the reduced axes if a Reshape or Unsqueeze restores them."""
    kept = tuple(1 if axis in axes else n for axis, n in enumerate(shape))
    readers = graph.consumers(node.outputs[0])
    if node.outputs[0] in graph.outputs or not readers:
        return
    if any(r.op not in ("Reshape", "Unsqueeze") or shapes.get(r.outputs[0]) != kept for r in readers):
        return
    node.attrs["keepdims"] = 1
    for reader in readers:
        graph.become(reader, "Identity", reader.inputs[:1])


def _pixels(node, graph):
    x = node.inputs[0]
    if node.op in GLOBAL:
        graph.become(node, GLOBAL[node.op], [x])
    elif node.op == "ReduceMin":
        graph.become(node, "Neg", [graph.add(node, "GlobalMaxPool", [graph.add(node, "Neg", [x])])])
    else:
        x = graph.add(node, "Abs", [x]) if node.op == "ReduceL1" else graph.add(node, "Mul", [x, x])
        axes = graph.constant(np.array([2, 3]), node.outputs[0])
        if node.op == "ReduceL2":
            graph.become(node, "Sqrt", [graph.add(node, "ReduceSum", [x, axes])])
        else:
            graph.become(node, "ReduceSum", [x, axes])


def _channels(node, channels, graph):
    x = node.inputs[0]
    if node.op == "ReduceL1":
        x = graph.add(node, "Abs", [x])
    elif node.op in ("ReduceL2", "ReduceSumSquare"):
        x = graph.add(node, "Mul", [x, x])
    value = 1 / channels if node.op == "ReduceMean" else 1.0
    weight = graph.constant(np.full((1, channels, 1, 1), value, np.float32), node.outputs[0])
    if node.op == "ReduceL2":
        x = graph.add(node, "Conv", [x, weight], {"kernel_shape": [1, 1]})
        graph.become(node, "Sqrt", [x])
    else:
        graph.become(node, "Conv", [x, weight], {"kernel_shape": [1, 1]})
