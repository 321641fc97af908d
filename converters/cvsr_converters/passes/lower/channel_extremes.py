"""Replace the maximum or minimum over the channels by pooling along them.

    ReduceMax (channels)      →      Transpose ── MaxPool 1xC ── Transpose
    ReduceMin (channels)      →      Neg ── Transpose ── MaxPool 1xC ── Transpose ── Neg

OpenCV 4.8 silently computes wrong results for reductions over channels.
"""


def run(graph):
    nodes, shapes = graph.select("ReduceMax", "ReduceMin")
    for node in nodes:
        x, shape = node.inputs[0], shapes.get(node.inputs[0], ())
        if len(shape) != 4 or not shape[1] or not node.attrs.get("keepdims", 1):
            continue
        if [axis % 4 for axis in node.attrs.get("axes", [])] != [1]:
            continue
        x = graph.add(node, "Neg", [x]) if node.op == "ReduceMin" else x
        x = graph.add(node, "Transpose", [x], {"perm": [0, 2, 3, 1]})
        x = graph.add(node, "MaxPool", [x], {"kernel_shape": [1, shape[1]], "strides": [1, 1]})
        if node.op == "ReduceMin":
            graph.become(node, "Neg", [graph.add(node, "Transpose", [x], {"perm": [0, 3, 1, 2]})])
        else:
            graph.become(node, "Transpose", [x], {"perm": [0, 3, 1, 2]})
