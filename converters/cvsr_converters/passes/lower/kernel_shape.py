"""State the size of the kernel in every convolution.

    Conv (weight 16,3,5,5)      →      Conv (weight 16,3,5,5; kernel_shape 5,5)

It is optional in ONNX, because the weights imply it. OpenCV up to 4.12 requires it.
"""


def run(graph):
    for node in graph.nodes:
        if node.op in ("Conv", "ConvTranspose") and "kernel_shape" not in node.attrs:
            weight = graph.constants.get(node.inputs[1])
            if weight is not None:
                node.attrs["kernel_shape"] = list(weight.shape[2:])
                graph.note(node)
