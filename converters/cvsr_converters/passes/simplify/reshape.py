"""Write a Reshape that only moves axes of size 1 as the Transpose that it is.

    x (1,1,48,64) ── Reshape to (1,48,64,1) ── y      →      x ── Transpose 0,2,3,1 ── y

TensorFlow turns the transposes of one-channel images into such Reshapes, which hold the size of the image. As a
Transpose it fits any size, and its pair may meet it. A Reshape to the shape that was there becomes the Transpose that
moves nothing; ``merge_transposes`` drops both.
"""


def run(graph):
    reshapes, shapes = graph.select("Reshape")
    for node in reshapes:
        perm = permutation(shapes.get(node.inputs[0]), shapes.get(node.outputs[0]))
        if perm:
            node.op, node.inputs, node.attrs = "Transpose", node.inputs[:1], {"perm": perm}
            graph.note(node)


def permutation(before, after):
    """Return the axes of ``before`` in the order that gives ``after`` while the axes longer than 1 keep theirs."""
    if not before or not after or len(before) != len(after) or 0 in before or 0 in after:
        return None
    if [n for n in before if n > 1] != [n for n in after if n > 1]:
        return None
    ones = iter([axis for axis, n in enumerate(before) if n == 1])
    longer = iter([axis for axis, n in enumerate(before) if n > 1])
    return [next(longer if n > 1 else ones) for n in after]
