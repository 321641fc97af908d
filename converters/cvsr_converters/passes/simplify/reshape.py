"""Replace a Reshape that only moves axes of size 1 by the equivalent Transpose.

    x (1,1,48,64) ── Reshape to (1,48,64,1) ── y      →      x ── Transpose 0,2,3,1 ── y

TensorFlow turns the transposes of one-channel images into such Reshapes, which depend on the size of the image. A
Transpose fits any size, and may cancel another one. A Reshape to the same shape becomes a Transpose that changes
nothing; ``merge_transposes`` drops both.
"""


def run(graph):
    reshapes, shapes = graph.select("Reshape")
    for node in reshapes:
        perm = permutation(shapes.get(node.inputs[0]), shapes.get(node.outputs[0]))
        if perm:
            node.op, node.inputs, node.attrs = "Transpose", node.inputs[:1], {"perm": perm}
            graph.note(node)


def permutation(before, after):
    """Return the permutation of ``before`` to ``after`` that keeps the order of axes longer than 1, or None."""
    if not before or not after or len(before) != len(after) or 0 in before or 0 in after:
        return None
    if [n for n in before if n > 1] != [n for n in after if n > 1]:
        return None
    ones = iter([axis for axis, n in enumerate(before) if n == 1])
    longer = iter([axis for axis, n in enumerate(before) if n > 1])
    return [next(longer if n > 1 else ones) for n in after]
