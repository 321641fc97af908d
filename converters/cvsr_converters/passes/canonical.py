"""Give nodes and values an order and names that depend only on the graph.

    functional_3/head_1/convolution:0      →      conv0
    functional_3/head_1/ReadVariableOp     →      conv0.weight
    x:0, Identity:0                        →      input, output

TensorFlow's names depend on what else the process has built. With these, the same network gives the same bytes.
"""

from collections import Counter

from cvsr.errors import ModelError

ROLES = {
    "Conv": ["", "weight", "bias"], "ConvTranspose": ["", "weight", "bias"], "PRelu": ["", "slope"],
    "Clip": ["", "min", "max"], "Resize": ["", "roi", "scales", "sizes"], "Reshape": ["", "shape"],
    "BatchNormalization": ["", "scale", "bias", "mean", "var"],
}  # fmt: skip


def run(graph):
    """Order and rename nodes and values; return False, because one run is enough."""
    graph.nodes = _ordered(graph)
    names = _numbered("input", [i.name for i in graph.inputs])
    names |= _numbered("output", graph.outputs)
    constants, count = {}, Counter()
    for node in graph.nodes:
        kind = node.op.lower()
        own = f"{kind}{count[kind]}"
        count[kind] += 1
        for place, value in enumerate(node.inputs):
            # a shared constant is named after its first reader
            if value in graph.constants and value not in names:
                roles = ROLES.get(node.op, [])
                names[value] = f"{own}.{roles[place] if place < len(roles) and roles[place] else f'input{place}'}"
                constants[names[value]] = graph.constants[value]
        for place, value in enumerate(node.outputs):
            names.setdefault(value, own if place == 0 else f"{own}.{place}")
    _rename(graph, names)
    graph.constants = constants
    graph.touch()
    return False


def _numbered(word, values):
    return {values[0]: word} if len(values) == 1 else {value: f"{word}{i}" for i, value in enumerate(values)}


def _ordered(graph):
    """Return the nodes, each after those that it reads, in the order in which the outputs need them."""
    done, begun, order = set(), set(), []
    waiting = [graph.producer(value) for value in reversed(graph.outputs)]
    while waiting:
        node = waiting[-1]
        before = [] if node is None or node in done else [graph.producer(value) for value in node.inputs]
        before = [n for n in before if n is not None and n not in done]
        if before:
            begun.add(node)
            if before[0] in begun:
                raise ModelError(f"the graph is broken: it has a cycle at {before[0].origin or before[0].op}")
            waiting.append(before[0])
            continue
        waiting.pop()
        if node is not None and node not in done:
            done.add(node)
            order.append(node)
    return order


def _rename(graph, names):
    for node in graph.nodes:
        node.inputs = [names.get(value, value) for value in node.inputs]
        node.outputs = [names[value] for value in node.outputs]
        node.attrs = dict(sorted(node.attrs.items()))
    graph.types = {names[value]: info for value, info in graph.types.items() if value in graph.outputs}
    graph.outputs = [names[value] for value in graph.outputs]
    for info in graph.inputs:
        info.name = names[info.name]
    for name, info in graph.types.items():
        info.name = name
