"""Checkpoints of TensorFlow 1's Saver: a ``.meta`` with the training graph, an ``.index`` and ``.data`` files.

The network's output is found in the graph (or named by the user), the variables that it needs become constants,
iterators and queues become inputs, and the rest is dropped. Nothing in the graph runs before that.
"""

import re
from pathlib import Path

from cvsr.errors import ModelError

TITLE = "TensorFlow 1 checkpoint (.meta, .index and .data files)"

_MAGIC = b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"  # the last bytes of every index
_PARTS = re.compile(r"\.(meta|index|data-\d{5}-of-\d{5})$")


def matches(path):
    """Return whether this prefix, file or folder has a ``.meta``."""
    return _prefix(Path(path)) is not None


def _prefix(path):
    """Return the common prefix of the checkpoint's files, or None if there is no ``.meta``."""
    if not path.is_dir():
        prefix = path.with_name(_PARTS.sub("", path.name))
        return prefix if _with(prefix, ".meta").is_file() else None
    prefixes = {meta.with_suffix("") for meta in path.glob("*.meta")}
    state = path / "checkpoint"
    text = state.read_text("utf-8", "replace") if state.is_file() else ""
    if said := re.search(r'^model_checkpoint_path: "(.*)"', text, re.MULTILINE):
        # often an absolute path on the training machine: only the name counts
        latest = path / re.split(r"[/\\]", said[1])[-1]
        if latest in prefixes:
            return latest
    return max(prefixes, key=_step, default=None)


def _step(prefix):
    number = re.search(r"(\d+)$", prefix.name)
    return int(number[1]) if number else -1, prefix.name


def _with(prefix, ending):
    return prefix.with_name(prefix.name + ending)


def read(path, options):
    prefix = _prefix(Path(path))
    assert prefix is not None, "matches() has found it"
    _check_files(prefix)
    from tensorflow.core.protobuf.meta_graph_pb2 import MetaGraphDef

    from cvsr_converters.sources.tensorflow import bundle, graph1, graphdef, variables
    from cvsr_converters.sources.tensorflow.outputs import guess, open_readers

    meta_path = _with(prefix, ".meta")
    meta = graphdef.parse(MetaGraphDef, meta_path.read_bytes(), meta_path)
    nodes, library = graphdef.by_name(meta.graph_def), meta.graph_def.library
    reader = bundle.check(prefix)
    found = variables.restored(nodes, meta.saver_def.restore_op_name, reader.get_variable_to_shape_map())
    open_readers(nodes)
    outputs, notes = _named(nodes, options.outputs), []
    if not outputs:
        outputs = [guess(nodes, library, found.keys())]
        notes.append(f"{outputs[0]} is assumed to be the output")
    variables.freeze(nodes, outputs, reader, found)
    return graph1.original(nodes, library, outputs, options, name=prefix.name, notes=notes)


def _check_files(prefix):
    """Raise ModelError if the index is missing or truncated."""
    index = _with(prefix, ".index")
    if not index.is_file():
        raise ModelError(f"{index.name}, which locates the weights, is missing beside {prefix.name}.meta")
    if not index.read_bytes().endswith(_MAGIC):
        raise ModelError(f"{index} is truncated or not a checkpoint's index")


def _named(nodes, wanted):
    """Return the tensors that the user has named; raise ModelError if one does not exist."""
    from cvsr_converters.sources.tensorflow import graphdef

    for tensor in wanted:
        if graphdef.split(tensor)[0] not in nodes:
            last = tensor.rpartition("/")[2].partition(":")[0].lower()
            near = [name for name in nodes if last in name.lower() and not name.startswith(("gradients", "save"))]
            raise ModelError(f"the graph has no node {tensor!r}; similar ones: {', '.join(near[:8]) or 'none'}")
    return [graphdef.join(*graphdef.split(tensor)) for tensor in wanted]
