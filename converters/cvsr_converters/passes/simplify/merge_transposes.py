"""Merge two consecutive Transposes into one; drop those that change nothing.

    x ── Transpose 0,2,3,1 ── Transpose 0,3,1,2 ── y      →      x ── y
    x ── Transpose 0,2,3,1 ── Transpose 0,2,3,1 ── y      →      x ── Transpose 0,3,1,2 ── y

TensorFlow puts channels last and ONNX puts them first: converted graphs are full of such pairs.
"""


def run(graph):
    for node in [n for n in graph.nodes if n.op == "Transpose" and "perm" in n.attrs]:
        first = graph.producer(node.inputs[0], "Transpose")
        if first is not None and "perm" in first.attrs:
            # the first one stays for other readers; if there are none, drop_dead removes it
            node.inputs = [first.inputs[0]]
            node.attrs = {"perm": [first.attrs["perm"][axis] for axis in node.attrs["perm"]]}
            graph.note(node)
        if list(node.attrs["perm"]) == list(range(len(node.attrs["perm"]))):
            graph.bypass(node)
