"""Merge parallel convolutions into one if their results are added.

         ┌── Conv 3x3 ──────────────┐
    x ───┼── Conv 1x1 ──────────────Add ── y      →      x ── Conv 3x3 ── y
         ├── Conv 1x1 ── Conv 3x3 ──┤
         └──────────────────────────┘

Such branches are in RepVGG, ECBSR, ACNet and similar networks, once the BatchNormalizations are folded. The merge is
done only if the one convolution costs no more than those that it replaces.
"""

from collections import defaultdict
from dataclasses import replace

import numpy as np

from cvsr_converters.passes.simplify import conv_chain, linear


def run(graph):
    nodes, shapes = graph.select("Add")
    for node in nodes:
        readers = graph.consumers(node.outputs[0])
        if len(readers) == 1 and readers[0].op == "Add" and node.outputs[0] not in graph.outputs:
            continue  # part of a larger sum, which is merged later
        _merge(node, shapes, graph)


def _merge(root, shapes, graph):
    """Merge terms of the sum ``root``, if possible; return whether any were merged."""
    terms = _terms(root, graph)
    if not any(graph.producer(value, "Conv") for value in terms) or len(set(terms)) != len(terms):
        return False
    by_source = defaultdict(list)
    for value in terms:
        for form in _forms(value, root, graph):
            by_source[form.source].append((value, form))
    for source, found in by_source.items():
        channels = len(found[0][1].weight)
        rest = [v for v in terms if v not in {value for value, _ in found}]
        for value in rest:
            form = linear.scaled(value, source, channels, graph)
            # the source must have as many channels as the value it is added to
            if form is not None and shapes.get(source, (0, 0))[1] == channels:
                found.append((value, form))
        if len(found) < 2 or (one := _sum([form for _, form in found])) is None:
            continue
        merged = {value for value, _ in found}
        _write(root, one, [value for value in terms if value not in merged], graph)
        return True
    return False


def _terms(root, graph):
    """Return the terms of the sum ``root``, including those of Adds that only it reads."""
    terms = []
    for value in root.inputs:
        inner = graph.producer(value, "Add")
        terms += _terms(inner, graph) if inner is not None and graph.consumers(value) == [root] else [value]
    return terms


def _forms(value, root, graph):
    """Return the Linears that compute ``value``: its convolution, alone and merged with those before it."""
    node = graph.producer(value, "Conv")
    if node is None or value in graph.outputs or len(graph.consumers(value)) != 1:
        return []
    forms, form = [], linear.of(node, graph)
    while form is not None:
        forms.append(form)
        first = linear.of(graph.producer(form.source, "Conv"), graph)
        if first is None or len(graph.consumers(form.source)) != 1 or form.source in graph.outputs:
            break
        form = conv_chain.compose(first, form)
    return forms


def _sum(forms):
    """Return one Linear that computes the sum, or None if there is none or it would cost more."""
    moving = [form for form in forms if form.kernel != (1, 1)] or forms
    strides, dilations, outs = forms[0].strides, moving[0].dilations, len(forms[0].weight)
    if any(f.strides != strides or len(f.weight) != outs for f in forms) or any(
        f.dilations != dilations for f in moving
    ):
        return None
    if dilations != (1, 1) and len({(f.kernel, f.pads) for f in forms}) != 1:
        return None  # a tap in a gap of the dilated kernel
    groups = {form.group for form in forms if form.cost} or {1}
    group = groups.pop() if len(groups) == 1 else 1
    weights = [form.weight if form.group == group else _grouped(form.dense(), group) for form in forms]
    if len({w.shape[1] for w in weights}) != 1:
        return None
    begin = np.max([form.pads[:2] for form in forms], axis=0)
    after = np.max([np.subtract(f.kernel, 1) - f.pads[:2] for f in forms], axis=0)
    ends = {tuple(f.pads[2:] + after - (np.subtract(f.kernel, 1) - f.pads[:2])) for f in forms}
    if len(ends) != 1:
        return None
    total = np.zeros((*weights[0].shape[:2], *(begin + after + 1)))
    for form, weight in zip(forms, weights, strict=True):
        (row, column), (h, w) = begin - form.pads[:2], form.kernel
        total[:, :, row : row + h, column : column + w] += weight
    pads = tuple(int(p) for p in (*begin, *ends.pop()))
    bias = sum(form.bias for form in forms)
    one = replace(moving[0], weight=total, bias=bias, pads=pads, group=group, cost=sum(f.cost for f in forms))
    return one if one.own <= one.cost else None


def _grouped(dense, group):
    """Return the part of a dense weight that a grouped convolution keeps."""
    if group == 1:
        return dense
    outs, ins, *kernel = dense.shape
    full = dense.reshape(group, outs // group, group, ins // group, *kernel)
    return np.concatenate([full[g, :, g] for g in range(group)])


def _write(root, one, others, graph):
    """Turn ``root`` into the convolution ``one``, or into its sum with the other terms."""
    if not others:
        linear.write(one, root, graph)
        return
    value = graph.add(root, "Identity", [one.source])
    linear.write(one, graph.producer(value), graph)
    for other in others[:-1]:
        value = graph.add(root, "Add", [other, value])
    graph.become(root, "Add", [others[-1], value])
