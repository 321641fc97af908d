"""The ONNX file for cvsr: concrete size, metadata, and the same bytes for the same network."""

import onnx

SIZE = 64  # OpenCV accepts any size at setInput, but only if the file names a concrete one


def pack(model, facts, size=SIZE, factors=(1,)):
    """Return the bytes of the file.

    ``model``: from :func:`cvsr_converters.passes.lower`. The sides of its inputs become ``size`` * ``factors``.
    The known ``facts`` become the file's metadata. Nothing differs from run to run: the names of layers and the
    producer's version are omitted, and entries are sorted.
    """
    model = onnx.ModelProto.FromString(model.SerializeToString())
    for node in model.graph.node:
        node.ClearField("doc_string")
    for info, factor in zip(model.graph.input, factors, strict=True):
        _resize(info, size * factor)
    _resize_outputs(model)
    model.graph.name = str(facts.name or "cvsr")
    model.producer_name = "cvsr"
    for field in ("producer_version", "doc_string", "domain", "model_version", "metadata_props"):
        model.ClearField(field)
    for key, value in sorted({"version": 1, **facts.known()}.items()):
        text = ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
        model.metadata_props.add(key=f"cvsr.{key}", value=text)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


def _resize(info, size):
    """Give a (1, C, H, W) input the height and width ``size``."""
    for dim in info.type.tensor_type.shape.dim[2:]:
        dim.dim_value = size


def _resize_outputs(model):
    """Infer the shapes of the outputs from those of the inputs."""
    for info in model.graph.output:
        for dim in info.type.tensor_type.shape.dim:
            dim.Clear()
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    for info, known in zip(model.graph.output, inferred.graph.output, strict=True):
        info.CopyFrom(known)
