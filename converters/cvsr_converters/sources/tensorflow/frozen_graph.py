"""Frozen graphs of TensorFlow 1: a GraphDef in a ``.pb``, such as those of OpenCV's dnn_superres.

The weights are constants in the graph. Placeholders that are not images (is_training, keep_prob) are set to their value
at inference. The ends of the graph are the outputs, in any layout.
"""

from pathlib import Path

from cvsr.errors import ModelError
from cvsr.modelfiles import info
from cvsr.modelfiles.superres_files import FAMILIES
from cvsr.modelfiles.tensorflow.graphdef import read_graphdef
from cvsr_converters.facts import UNKNOWN, Facts

TITLE = "frozen TensorFlow 1 graph (.pb)"


def matches(path):
    path = Path(path)
    if path.suffix.lower() != ".pb" or not path.is_file() or path.name == "saved_model.pb":
        return False
    with open(path, "rb") as file:
        return file.read(1) != b"\x08"  # SavedModels begin with their schema version, GraphDefs with a node


def read(path, options):
    path = Path(path)
    data = path.read_bytes()
    try:
        read_graphdef(data)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    from tensorflow.core.framework.graph_pb2 import GraphDef

    from cvsr_converters.sources.tensorflow import graph1, graphdef

    graph = graphdef.parse(GraphDef, data, path)
    nodes = graphdef.by_name(graph)
    stated = info.pb_facts(path, data)
    facts = Facts(scale=stated.scale, **vars(FAMILIES[stated.algorithm])) if stated.algorithm else UNKNOWN
    outputs = _outputs(nodes, options.outputs)
    return graph1.original(nodes, graph.library, outputs, options, name=path.stem, facts=facts)


def _outputs(nodes, wanted):
    """Return the tensors to convert: those ``wanted``, or the ends of the graph."""
    from cvsr_converters.sources.tensorflow import graphdef

    ends = graphdef.ends(nodes)
    for tensor in wanted:
        if graphdef.split(tensor)[0] not in nodes:
            raise ModelError(f"there is no output {tensor!r}; the graph ends in: {', '.join(ends)}")
    if not wanted and not ends:
        raise ModelError("the graph has no output: it is empty, or its nodes form a cycle")
    return [graphdef.join(*graphdef.split(tensor)) for tensor in wanted] or ends
