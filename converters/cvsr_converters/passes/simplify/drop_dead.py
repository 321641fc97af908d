"""Remove the nodes and constants that no output needs.

    x ── Conv ── output            x ── Conv ── output
    x ── Relu ── (unused)    →
    unused constant

It comes first, because other passes count the readers of a value.
"""


def run(graph):
    needed, alive, waiting = set(), set(), list(graph.outputs)
    while waiting:
        value = waiting.pop()
        if value in needed:
            continue
        needed.add(value)
        if (node := graph.producer(value)) is not None:
            alive.add(node)
            waiting += node.inputs
    before = len(graph.nodes), len(graph.constants)
    graph.nodes = [node for node in graph.nodes if node in alive]
    graph.constants = {name: array for name, array in graph.constants.items() if name in needed}
    if before != (len(graph.nodes), len(graph.constants)):
        graph.touch()
