"""Move Transposes towards the outputs, through operations that allow it, until they meet their inverse.

    x ── Transpose 0,2,3,1 ── Add(·, c) ── y      →      x ── Add(·, c') ── Transpose 0,2,3,1 ── y

TensorFlow Lite and others keep channels last throughout. ``merge_transposes`` drops the pairs.
"""

import numpy as np

from cvsr_converters.passes.simplify.depth_to_space import UNARY

ELEMENTWISE = UNARY | {
    "Add", "Cast", "Ceil", "Celu", "Div", "Equal", "Floor", "Gelu", "Greater", "GreaterOrEqual", "Less", "LessOrEqual",
    "Max", "Mean", "Min", "Mish", "Mul", "Not", "PRelu", "Pow", "Reciprocal", "Round", "Sign", "Sub", "Sum",
    "ThresholdedRelu", "Where",
}  # fmt: skip
# operators with one attribute ``axis``, and its default
AXIS = {"Concat": None, "Split": 0, "Softmax": -1, "LogSoftmax": -1}
REDUCE = {"ReduceMean", "ReduceMax", "ReduceMin", "ReduceSum", "ReduceL1", "ReduceL2", "ReduceSumSquare"}


def run(graph):
    for node in list(graph.nodes):
        perm = _perm(node, graph)
        if perm is not None and (rule := _rule(node.op)) and rule(node, perm, graph):
            _after(node, perm, graph)


def _perm(node, graph):
    """Return the permutation that precedes all inputs of ``node`` except constants, or None."""
    perms = set()
    for value in node.inputs:
        if value and value not in graph.constants:
            above = graph.producer(value, "Transpose")
            perms.add(tuple(above.attrs.get("perm", ())) if above is not None else None)
    perm = perms.pop() if len(perms) == 1 else None
    return perm if perm and len(perm) == 4 else None


def _rule(op):
    if op in ELEMENTWISE:
        return _elementwise
    if op in AXIS:
        return _axis
    return _reduce if op in REDUCE else {"Pad": _pad, "Slice": _slice, "Resize": _resize}.get(op)


def _after(node, perm, graph):
    """Make ``node`` read the inputs of the Transposes, and insert one after each of its results."""
    node.inputs = [i if i in graph.constants or not i else graph.producer(i).inputs[0] for i in node.inputs]
    where = graph.nodes.index(node) + 1
    for place, value in enumerate(node.outputs):
        inner = f"{value}~inner"
        node.outputs[place] = inner
        behind = type(node)("Transpose", [inner], [value], {"perm": list(perm)}, node.origin)
        graph.nodes.insert(where, behind)
        graph.note(node)
        graph.note(behind)


def _elementwise(node, perm, graph):
    constants = {}
    for place, value in enumerate(node.inputs):
        if value in graph.constants and graph.constants[value].ndim:
            array = graph.constants[value]
            if array.ndim > 4 or node.op == "Clip":
                return False
            array = array.reshape((1,) * (4 - array.ndim) + array.shape).transpose(np.argsort(perm))
            if node.op == "PRelu" and array.shape[0] == 1:
                array = array[0]  # the slope must not have more axes than it needs
            constants[place] = array
    for place, array in constants.items():
        node.inputs[place] = graph.constant(array, node.outputs[0])
    return True


def _axis(node, perm, graph):
    axis = node.attrs.get("axis", AXIS[node.op])
    if node.op == "Concat" and any(value in graph.constants for value in node.inputs):
        return False
    node.attrs["axis"] = perm[axis]
    return True


def _reduce(node, perm, graph):
    axes = node.attrs.get("axes")
    if axes is None and graph.array(node, 1) is not None:
        axes = graph.array(node, 1).tolist()
    if not axes or not node.attrs.get("keepdims", 1):
        return False
    moved = sorted(perm[axis] for axis in axes)
    if "axes" in node.attrs:
        node.attrs["axes"] = moved
    else:
        node.inputs[1] = graph.constant(np.array(moved, np.int64), node.outputs[0])
    return True


def _pad(node, perm, graph):
    pads = graph.array(node, 1)
    if pads is None or pads.size != 8:
        return False
    moved = pads.reshape(2, 4)[:, np.argsort(perm)]
    node.inputs[1] = graph.constant(moved.ravel(), node.outputs[0])
    return True


def _slice(node, perm, graph):
    starts, axes = graph.array(node, 1), graph.array(node, 3)
    if starts is None or (axes is None and len(node.inputs) > 3 and node.inputs[3]):
        return False
    axes = range(len(starts)) if axes is None else axes
    moved = np.array([perm[axis] for axis in axes], starts.dtype)  # the type that all inputs must have
    node.inputs = [*node.inputs[:3], graph.constant(moved, node.outputs[0]), *node.inputs[4:]]
    return True


def _resize(node, perm, graph):
    place = 2 if len(node.inputs) == 3 else 3
    sizes = graph.array(node, place)
    if sizes is None or sizes.size != 4 or (len(node.inputs) > 3 and node.inputs[2]):
        return False
    if len(node.inputs) > 1 and node.inputs[1] and "crop" in node.attrs.get("coordinate_transformation_mode", ""):
        return False
    node.inputs[1] = ""
    node.inputs[place] = graph.constant(sizes[np.argsort(perm)], node.outputs[0])
    return True
