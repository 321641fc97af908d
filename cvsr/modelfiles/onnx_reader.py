"""The facts of an ONNX file, read from its bytes without the onnx package."""

from dataclasses import dataclass, field

from cvsr.errors import ModelError
from cvsr.modelfiles.protobuf import fields, ints, messages, text

# operations that are pointwise or move pixels by known distances
POINTWISE = frozenset({
    "Abs", "Add", "AddV2", "BiasAdd", "Cast", "Clip", "Concat", "ConcatV2", "Const", "Constant", "DepthToSpace",
    "Div", "Elu", "Exp", "Gelu", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "Max", "Maximum", "Min",
    "Minimum", "Mul", "Neg", "PRelu", "Placeholder", "Relu", "Relu6", "Selu", "Sigmoid", "Softplus", "Sqrt", "Sub",
    "Tanh", "Transpose",
})  # fmt: skip


@dataclass
class OnnxFacts:
    """The facts of an ONNX file.

    ``inputs`` and ``outputs``: (name, dims), 0 for symbolic ones. ``reach``: an upper bound of the receptive field's
    radius in input pixels (all convolutions in a row), None if an operation makes it unknown. ``width``: the channels
    of the widest convolution.
    """

    metadata: dict[str, str] = field(default_factory=dict[str, str])
    inputs: list[tuple[str, list[int]]] = field(default_factory=list[tuple[str, list[int]]])
    outputs: list[tuple[str, list[int]]] = field(default_factory=list[tuple[str, list[int]]])
    ops: list[str] = field(default_factory=list[str])
    reach: int | None = 0
    width: int = 1

    def add(self, node: memoryview) -> None:
        """Add the facts of a node."""
        op = text(node, 4)
        self.ops.append(op)
        if op == "Conv":
            lists = {text(attribute, 1): ints(attribute, 8) for attribute in messages(node, 5)}
            self._grow(lists.get("kernel_shape"), lists.get("dilations"), lists.get("strides"))
        elif op not in POINTWISE:
            self.reach = None

    def _grow(self, kernel: list[int] | None, dilations: list[int] | None, strides: list[int] | None) -> None:
        if self.reach is None or not kernel or max(strides or [1]) > 1:
            self.reach = None
        else:
            self.reach += max(k // 2 * d for k, d in zip(kernel, dilations or [1] * len(kernel), strict=False))


def value_info(data: memoryview) -> tuple[str, list[int]]:
    """Return the name and the dims of a graph's input or output, 0 for symbolic ones."""
    dims: list[int] = []
    for kind in messages(data, 2):
        for tensor in messages(kind, 1):
            for shape in messages(tensor, 2):
                for dim in messages(shape, 1):
                    sizes = [v for n, v in fields(dim) if n == 1 and isinstance(v, int)]
                    dims.append(sizes[0] if sizes else 0)
    return text(data, 1), dims


def read_onnx(data: bytes) -> OnnxFacts:
    """Return the facts of an ONNX model; raise ModelError if the bytes are not one."""
    facts = OnnxFacts()
    graphs = list(messages(data, 7))
    if len(graphs) != 1:
        raise ModelError("not an ONNX model: it has no graph")
    for entry in messages(data, 14):
        facts.metadata[text(entry, 1)] = text(entry, 2)
    initialised: set[str] = set()
    for number, value in fields(graphs[0]):
        if not isinstance(value, memoryview):
            continue
        if number == 1:
            facts.add(value)
        elif number == 5:
            initialised.add(text(value, 8))
            dims = ints(value, 1)
            if len(dims) == 4:
                facts.width = max(facts.width, *dims[:2])
        elif number == 11:
            facts.inputs.append(value_info(value))
        elif number == 12:
            facts.outputs.append(value_info(value))
    # up to IR version 3 the weights are listed among the inputs, too
    facts.inputs = [(name, dims) for name, dims in facts.inputs if name not in initialised]
    if not facts.ops or not facts.outputs:
        raise ModelError("not an ONNX model: its graph is empty")
    return facts
