"""Read a network from any ONNX file, such as PyTorch writes."""

from pathlib import Path

from cvsr.modelfiles import onnx_reader
from cvsr_converters.facts import UNKNOWN, Facts
from cvsr_converters.original import Original

TITLE = "ONNX model (.onnx)"


def matches(path):
    """Return whether the path is an ONNX file, by its suffix: the format has no magic bytes."""
    path = Path(path)
    return path.suffix.lower() == ".onnx" and path.is_file()


def read(path, options):
    from cvsr_converters.sources.onnx import file
    from cvsr_converters.sources.onnx.network import Network

    network = Network(file.load(path), options)
    facts = network.facts | _metadata(Path(path))
    return Original(Path(path).stem, network.inputs, network.outputs, network.run, network.graph, facts, network.notes)


def _metadata(path):
    """Return the facts in the metadata of a file that cvsr has written."""
    from cvsr import open_model

    metadata = onnx_reader.read_onnx(path.read_bytes()).metadata
    stated = {key.removeprefix("cvsr.") for key in metadata if key.startswith("cvsr.")}
    if not {"scale", "color", "range"} <= stated:
        return UNKNOWN
    info = open_model(path)
    return Facts(**{key: getattr(info, key) for key in stated & vars(UNKNOWN).keys() if hasattr(info, key)})
