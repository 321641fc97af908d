"""Replace operations that some OpenCV lacks or computes incorrectly by ones that all compute correctly.

    x ── Pow(·, 2) ── y                     →      x ── Mul(x, x) ── y
    Mean(a, b) ── y                         →      Sum(a, b) ── Mul(·, 1/2) ── y
    x ── HardSwish ── y                     →      Mul(x, HardSigmoid(x)) ── y
    x ── Mish ── y                          →      Mul(x, Tanh(Softplus(x))) ── y
    x ── Gelu ── y                          →      Mul(x · 1/2, Erf(x · √½) + 1) ── y
    x ── Erfc ── y                          →      1 - Erf(x) ── y
    x ── InstanceNormalization ── y         →      means by GlobalAveragePool, Sub, Div, Mul, Add

OpenCV 4.6 computes powers of negative numbers from their absolute values.
"""

import math

import numpy as np

from cvsr_converters.passes.graph import operand


def run(graph):
    nodes = [n for n in graph.nodes if n.op.rpartition("::")[2] in RULES]
    if any(n.op == "InstanceNormalization" for n in nodes):  # only on images: GroupNormalization uses it on other ranks
        shapes = graph.shapes()
        nodes = [n for n in nodes if n.op != "InstanceNormalization" or len(shapes.get(n.inputs[0], ())) == 4]
    for node in nodes:
        RULES[node.op.rpartition("::")[2]](node, graph)


def _pow(node, graph):
    x, exponent = node.inputs[0], graph.array(node, 1)
    if exponent is None or exponent.size != 1 or exponent.ndim > 4 or x in graph.constants:
        return
    power = float(exponent.ravel()[0])
    if power == 0.5:
        graph.become(node, "Sqrt", [x])
    elif power == 2:
        graph.become(node, "Mul", [x, x])
    elif power == 3:
        graph.become(node, "Mul", [graph.add(node, "Mul", [x, x]), x])


def _mean(node, graph):
    count = len(node.inputs)
    total = graph.add(node, "Sum", node.inputs)
    graph.become(node, "Mul", [total, _scalar(1 / count, node, graph)])


def _hard_swish(node, graph):
    x = node.inputs[0]
    gate = graph.add(node, "HardSigmoid", [x], {"alpha": 1 / 6, "beta": 0.5})
    graph.become(node, "Mul", [x, gate])


def _mish(node, graph):
    x = node.inputs[0]
    graph.become(node, "Mul", [x, graph.add(node, "Tanh", [graph.add(node, "Softplus", [x])])])


def _gelu(node, graph):
    x = node.inputs[0]
    if node.attrs.get("approximate", "none") == "tanh":  # 1 + tanh(z) = 2 sigmoid(2z)
        root = 2 * math.sqrt(2 / math.pi)
        square = graph.add(node, "Mul", [x, x])
        poly = graph.add(node, "Mul", [square, _scalar(0.044715 * root, node, graph)])
        poly = graph.add(node, "Add", [poly, _scalar(root, node, graph)])
        gate = graph.add(node, "Sigmoid", [graph.add(node, "Mul", [x, poly])])
        graph.become(node, "Mul", [x, gate])
        return
    inner = graph.add(node, "Erf", [graph.add(node, "Mul", [x, _scalar(math.sqrt(0.5), node, graph)])])
    half = graph.add(node, "Mul", [x, _scalar(0.5, node, graph)])
    graph.become(node, "Mul", [half, graph.add(node, "Add", [inner, _scalar(1, node, graph)])])


def _erfc(node, graph):
    erf = graph.add(node, "Erf", node.inputs)
    graph.become(node, "Sub", [_scalar(1, node, graph), erf])


def _instance_norm(node, graph):
    x, scale, bias = node.inputs[0], graph.array(node, 1), graph.array(node, 2)
    if scale is None or bias is None:
        return

    def mean(value):
        return graph.add(node, "GlobalAveragePool", [value])

    normalise(node, x, mean, scale, bias, node.attrs.get("epsilon", 1e-5), graph)


def normalise(node, x, mean, scale, bias, epsilon, graph):
    """Turn ``node`` into the result of normalizing ``x``; ``mean(value)`` adds the nodes for a mean and returns it."""
    like = node.outputs[0]
    centered = graph.add(node, "Sub", [x, mean(x)])
    variance = mean(graph.add(node, "Mul", [centered, centered]))
    shifted = graph.add(node, "Add", [variance, _scalar(epsilon, node, graph)])
    normal = graph.add(node, "Div", [centered, graph.add(node, "Sqrt", [shifted])])
    scaled = graph.add(node, "Mul", [normal, graph.constant(operand(scale), like)])
    graph.become(node, "Add", [scaled, graph.constant(operand(bias), like)])


def _scalar(value, node, graph):
    return graph.constant(np.float32(value), node.outputs[0])


RULES = {
    "Pow": _pow,
    "Mean": _mean,
    "HardSwish": _hard_swish,
    "Mish": _mish,
    "Gelu": _gelu,
    "Erfc": _erfc,  # tf2onnx keeps TensorFlow's operator; ONNX has none
    "InstanceNormalization": _instance_norm,
}
