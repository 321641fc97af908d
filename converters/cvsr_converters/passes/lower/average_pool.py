"""Replace the zeros that an AveragePool counts by a Pad, and negative padding by a Slice.

    AveragePool (pads 1, count_include_pad)      →      Pad (zeros) ── AveragePool
    Pad (by -1 on each side)                     →      Slice (from 1 to -1)

OpenCV ignores ``count_include_pad``, except in the new engine of 5.0, and rejects negative padding.
"""

import numpy as np

ALL = np.iinfo(np.int64).max


def run(graph):
    for node in list(graph.nodes):
        if node.op == "AveragePool" and node.attrs.get("count_include_pad", 0):
            if node.attrs.get("ceil_mode", 0) or node.attrs.get("auto_pad", "NOTSET") != "NOTSET":
                continue
            top, left, bottom, right = node.attrs.get("pads", [0, 0, 0, 0])
            del node.attrs["count_include_pad"]
            if any((top, left, bottom, right)):
                pads = graph.constant(np.array([0, 0, top, left, 0, 0, bottom, right]), node.outputs[0])
                node.inputs = [graph.add(node, "Pad", [node.inputs[0], pads])]
                node.attrs["pads"] = [0, 0, 0, 0]
            graph.note(node)
        if node.op == "Pad" and (pads := graph.array(node, 1)) is not None and pads.any() and (pads <= 0).all():
            begin, end = -pads.reshape(2, -1).astype(np.int64)
            axes = np.flatnonzero(begin + end)
            ends = np.where(end[axes] > 0, -end[axes], ALL)
            inputs = [graph.constant(a, node.outputs[0]) for a in (begin[axes], ends, axes)]
            graph.become(node, "Slice", [node.inputs[0], *inputs])
