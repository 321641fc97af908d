"""Merge two Transposes in a row into one; drop the one that moves nothing.

    x ── Transpose 0,2,3,1 ── Transpose 0,3,1,2 ── y      →      x ── y
    x ── Transpose 0,2,3,1 ── Transpose 0,2,3,1 ── y      →      x ── Transpose 0,3,1,2 ── y

TensorFlow's layout has the channels last, ONNX's first: a converted graph is full of such pairs.
"""


def run(graph):
    for node in [n for n in graph.nodes if n.op == "Transpose" and "perm" in n.attrs]:
        first = graph.producer(node.inputs[0], "Transpose")
        if first is not None and "perm" in first.attrs:
            # the first one may have other readers: it stays for them, and drop_dead takes it if there are none
            node.inputs = [first.inputs[0]]
            node.attrs = {"perm": [first.attrs["perm"][axis] for axis in node.attrs["perm"]]}
            graph.note(node)
        if list(node.attrs["perm"]) == list(range(len(node.attrs["perm"]))):
            graph.bypass(node)
