"""Cut a deep network into segments of a few convolutions, each a small network of its own.

A tile of a deep network computes its halo in every layer: at 34 layers and 64 pixels most of the work is halo. Segments
have halos of a few pixels, and their feature maps stay in the cache; only maps that cross a cut are stored.

    image ── conv ──┬── block ─ block │ block ─ block │ block ─ block ── conv ── + ── shuffle ── conv ── image
                    └─────────────────│───────────────│──────────────────────────┘

Few maps may cross a cut: the main one, and skip connections. Networks that change the size of their maps are cut before
that point.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from cvsr.modelfiles import onnx_reader, onnx_writer, protobuf

CONVOLUTIONS = 4
"""How many a segment has if the network can be cut there."""

_SMALL = 4  # channels of an image in addition to the maps
# operations that compute each pixel from those at the same position; "Constant" has no map
_POINTWISE = frozenset({
    "Abs", "Add", "Clip", "Concat", "Constant", "Elu", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "Max",
    "Min", "Mul", "Neg", "PRelu", "Relu", "Selu", "Sigmoid", "Sub", "Tanh",
})  # fmt: skip


@dataclass(frozen=True)
class Segment:
    """A part of a network, as the bytes of an ONNX file.

    ``inputs`` and ``outputs`` name maps: those from earlier segments, or the image, and those needed later, with their
    ``channels``. ``radius``: of the receptive field in input pixels. ``shuffle``: the factor if the segment is a
    pixel shuffle, which runs in numpy after ``onnx`` has been checked to be one; else 0.
    """

    onnx: bytes
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    channels: tuple[int, ...]
    radius: int
    shuffle: int = 0


@dataclass(frozen=True)
class _Node:
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    message: memoryview
    reach: int

    @property
    def keeps_size(self) -> bool:
        return self.op == "Conv" or self.op in _POINTWISE


class _Graph:
    """The parts of an ONNX file that matter for cutting it."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.graph = next(protobuf.messages(data, 7))
        self.constants = {protobuf.text(tensor, 8): tensor for tensor in protobuf.messages(self.graph, 5)}
        self.nodes = [_node(message) for message in protobuf.messages(self.graph, 1)]
        # older files have a node for each constant
        self.constant_nodes = {name: node for node in self.nodes if node.op == "Constant" for name in node.outputs}
        self.nodes = [node for node in self.nodes if node.op != "Constant"]
        named = [onnx_reader.value_info(each) for each in protobuf.messages(self.graph, 11)]
        self.sources = {name: dims for name, dims in named if name not in self.constants}
        self.ends = [protobuf.text(each, 1) for each in protobuf.messages(self.graph, 12)]
        self.channels = {name: dims[1] for name, dims in self.sources.items() if len(dims) == 4}

    def is_map(self, name: str) -> bool:
        return bool(name) and name not in self.constants and name not in self.constant_nodes

    def read_channels(self, node: _Node) -> None:
        """Record the channels of the outputs of a node that keeps the size."""
        fed = [self.channels.get(name, 0) for name in node.inputs if self.is_map(name)]
        if node.op == "Conv":
            made = protobuf.ints(self.constants[node.inputs[1]], 1)[0] if node.inputs[1] in self.constants else 0
        else:
            made = sum(fed) if node.op == "Concat" else max(fed, default=0)
        self.channels |= dict.fromkeys(node.outputs, made)


def _node(message: memoryview) -> _Node:
    names = [tuple(bytes(each).decode("utf-8", "replace") for each in protobuf.messages(message, n)) for n in (1, 2)]
    op, reach = protobuf.text(message, 4), 0
    if op == "Conv":
        lists = {protobuf.text(each, 1): protobuf.ints(each, 8) for each in protobuf.messages(message, 5)}
        kernel = lists.get("kernel_shape") or []
        spread = [k // 2 * d for k, d in zip(kernel, lists.get("dilations") or [1, 1], strict=False)]
        plain = len(kernel) == 2 and all(k % 2 for k in kernel) and max(lists.get("strides") or [1]) == 1
        plain = plain and lists.get("pads", [0] * 4) == spread * 2  # else its result has another size
        op, reach = (op, max(spread)) if plain else ("other Conv", 0)
    return _Node(op, names[0], names[1], message, reach)


def cut(data: bytes, radius: int, output: str = "", convolutions: int = CONVOLUTIONS) -> list[Segment]:
    """Return the segments of an ONNX file in the order in which they run; [] if it cannot be cut.

    ``radius``: of the whole network, in pixels of its input; ``output``: the name of the output to take.
    """
    graph = _Graph(data)
    ends = [output] if output else graph.ends
    if len(graph.sources) != 1 or len(ends) != 1:
        return []
    pieces = list(_pieces(graph, ends[0], convolutions))
    if len(pieces) < 2:
        return []
    found: list[Segment] = []
    for number, nodes in enumerate(pieces):
        later = {name for piece in pieces[number + 1 :] for node in piece for name in node.inputs} | {ends[0]}
        found.append(_segment(graph, nodes, later))
    if not all(node.keeps_size for node in pieces[-1]):
        # after a change of size kernels count for less: use the radius of the whole network
        found[-1] = replace(found[-1], radius=max(0, radius - sum(segment.radius for segment in found[:-1])))
    depths = [segment.radius for segment in found]
    return found if 2 * max(depths) <= sum(depths) else []  # a segment with most of the network would gain nothing


def _pieces(graph: _Graph, end: str, convolutions: int) -> Iterator[list[_Node]]:
    """Yield the nodes of each segment: at least ``convolutions``, up to the next place that few maps cross."""
    nodes, begun, place, counted, widest = graph.nodes, 0, 0, 0, 1
    while place < len(nodes):
        node, shuffled = nodes[place], _shuffle(graph, place)
        if shuffled:
            if begun < place:
                yield nodes[begun:place]
            yield nodes[place:shuffled]
            last = nodes[place:shuffled][-1].outputs[0]
            graph.channels[last] = protobuf.ints(graph.constants[nodes[shuffled].inputs[1]], 1)[1]
            begun = place = shuffled
            counted = 0
            continue
        if not node.keeps_size:
            break
        graph.read_channels(node)
        widest = max(widest, *(graph.channels[name] for name in node.outputs))
        counted += node.reach > 0
        place += 1
        # activations and sums stay with the convolution before them, which OpenCV may fuse
        if counted < convolutions or place == len(nodes) or nodes[place].op != "Conv":
            continue
        if _crossing(graph, place, end) <= 2 * widest + _SMALL:
            yield nodes[begun:place]
            begun, counted = place, 0
    if begun < len(nodes):
        yield nodes[begun:]


def _crossing(graph: _Graph, place: int, end: str) -> int:
    """Return how many channels are computed before a place in the graph and read after it."""
    read = {name for each in graph.nodes[place:] for name in each.inputs} | {end}
    return sum(channels for name, channels in graph.channels.items() if name in read)


def _shuffle(graph: _Graph, place: int) -> int:
    """Return the end of a run of nodes that must be a pixel shuffle between two convolutions, 0 for other nodes."""
    nodes, end = graph.nodes, place
    while end < len(nodes) and nodes[end].op in ("Reshape", "Transpose", "DepthToSpace"):
        if end > place and nodes[end].inputs[0] != nodes[end - 1].outputs[0]:
            return 0
        end += 1
    if end == place or end == len(nodes) or nodes[end].op != "Conv" or nodes[end].inputs[1] not in graph.constants:
        return 0
    source, made = nodes[place].inputs[0], nodes[end - 1].outputs[0]
    read = [name for node in nodes[end:] for name in node.inputs]
    if (
        nodes[end].inputs[0] != made
        or any(node.outputs[0] in read for node in nodes[place : end - 1])
        or source in read
    ):
        return 0
    factor = (graph.channels.get(source, 0) / protobuf.ints(graph.constants[nodes[end].inputs[1]], 1)[1]) ** 0.5
    return end if factor in (2, 3, 4) else 0


def _segment(graph: _Graph, nodes: list[_Node], later: set[str]) -> Segment:
    made = {name for node in nodes for name in node.outputs}
    inputs = list(dict.fromkeys(n for node in nodes for n in node.inputs if graph.is_map(n) and n not in made))
    outputs = [name for node in nodes for name in node.outputs if name in later]
    reach = dict.fromkeys(inputs, 0)
    for node in nodes:
        reach |= dict.fromkeys(node.outputs, max((reach[n] for n in node.inputs if n in reach), default=0) + node.reach)
    channels = tuple(graph.channels.get(name, 0) for name in outputs)
    factor = 0
    if nodes[0].op in ("Reshape", "Transpose", "DepthToSpace"):
        factor = round((graph.channels[inputs[0]] / channels[0]) ** 0.5)
    data = _file(graph, nodes, inputs, outputs)
    return Segment(data, tuple(inputs), tuple(outputs), channels, max(reach[n] for n in outputs), factor)


def _file(graph: _Graph, nodes: list[_Node], inputs: list[str], outputs: list[str]) -> bytes:
    """Return some nodes of an ONNX file as a file of their own."""
    read = {name for node in nodes for name in node.inputs}
    side = onnx_writer.SIDE
    parts = [protobuf.block(1, node.message) for name, node in graph.constant_nodes.items() if name in read]
    parts += [protobuf.block(1, node.message) for node in nodes]
    parts.append(protobuf.block(2, b"segment"))
    parts += [protobuf.block(5, tensor) for name, tensor in graph.constants.items() if name in read]
    parts += [
        protobuf.block(11, onnx_writer.value_info(name, (1, graph.channels[name], side, side))) for name in inputs
    ]
    for name in outputs:
        # after a change of size OpenCV infers the channels itself
        parts.append(protobuf.block(12, onnx_writer.value_info(name, (1, graph.channels.get(name, 1), side, side))))
    whole = [protobuf.field_of(number, value) for number, value in protobuf.fields(graph.data) if number not in (7, 14)]
    return b"".join([*whole, protobuf.block(7, b"".join(parts))])
