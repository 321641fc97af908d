"""Write a transposed convolution as a convolution and a pixel shuffle. Only for targets that ask for it.

    x ── ConvTranspose k x k, stride s (Cin → C) ── y      →      x ── Conv (Cin → C·s²) ── DepthToSpace (CRD) ── y

Exact, with the borders: each of the s² phases of the result reads its own taps of the kernel. A convolution with
stride 1 lets the host do the shuffle, and is what every version of OpenCV runs fast; the kernel is as small as the
phases allow, and taps that a phase lacks are zero.
"""

from __future__ import annotations

import numpy as np


def run(graph):
    """Apply the rewrite to every ConvTranspose of known, dense weights; return whether the graph has changed."""
    changed = False
    for node in [n for n in graph.nodes if n.op == "ConvTranspose"]:
        changed |= rewrite(node, graph)
    return changed


def rewrite(node, graph):
    """Apply the rewrite to one ConvTranspose where it fits; return whether the graph has changed."""
    weight, attrs = graph.array(node, 1), node.attrs
    strides = attrs.get("strides", [1, 1])
    if weight is None or attrs.get("group", 1) != 1 or strides[0] != strides[1] or strides[0] < 2:
        return False
    if any(d != 1 for d in attrs.get("dilations", [])) or attrs.get("auto_pad", "NOTSET") != "NOTSET":
        return False
    s, bias = strides[0], graph.array(node, 2)
    pads = np.array(attrs.get("pads", [0, 0, 0, 0])).reshape(2, 2)
    extra = np.array(attrs.get("output_padding", [0, 0]))
    longer = np.array(weight.shape[2:]) - s - pads.sum(axis=0) + extra  # than s times the input
    if longer.any() or "output_shape" in attrs or (bias is None and len(node.inputs) > 2 and node.inputs[2]):
        return False
    kernel, conv_pads = _phases(weight, s, pads[0])
    like = node.outputs[0]
    inputs = [node.inputs[0], graph.constant(kernel, like)]
    if bias is not None:
        inputs.append(graph.constant(np.repeat(bias, s * s), like))
    conv = {"kernel_shape": list(kernel.shape[2:]), "pads": conv_pads}
    graph.become(node, "DepthToSpace", [graph.add(node, "Conv", inputs, conv)], {"blocksize": s, "mode": "CRD"})
    return True


def _phases(weight, s, begin):
    """Return (the kernel (C * s², Cin, H, W), [top, left, bottom, right])."""
    taps = [_taps(weight.shape[2 + axis], s, begin[axis]) for axis in (0, 1)]
    low = [min(min(t, default=0) for t in phases) for phases in taps]
    high = [max(max(t, default=0) for t in phases) for phases in taps]
    low, high = np.minimum(low, 0), np.maximum(high, 0)
    ins, outs = weight.shape[:2]
    kernel = np.zeros((outs, s, s, ins, *(high - low + 1)), np.float32)
    for row, rows in enumerate(taps[0]):
        for column, columns in enumerate(taps[1]):
            for i, k in rows.items():
                for j, m in columns.items():
                    kernel[:, row, column, :, i - low[0], j - low[1]] = weight[:, :, k, m].T
    return kernel.reshape(outs * s * s, *kernel.shape[3:]), [int(p) for p in (*-low, *high)]


def _taps(size, s, begin):
    """Return, for each phase, {offset of the input pixel: tap of the kernel}."""
    # y[s * q + phase] gets x[i] * w[k] where s * i + k - begin = s * q + phase, so the offset is i - q
    found = []
    for phase in range(s):
        ks = [k for k in range(size) if (phase + begin - k) % s == 0]
        found.append({int(phase + begin - k) // s: k for k in ks})
    return found
