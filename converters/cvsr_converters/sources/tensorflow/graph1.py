"""A frozen graph of TensorFlow 1 → an :class:`Original`: inputs other than images are fixed, training is removed."""

import re

import numpy as np
import tensorflow as tf

from cvsr.errors import ModelError
from cvsr_converters.facts import UNKNOWN
from cvsr_converters.sources import probe
from cvsr_converters.sources.tensorflow import conditionals, graphdef


def original(nodes, library, outputs, options, *, name, facts=UNKNOWN, notes=()):
    """Return the :class:`Original` of frozen nodes, a dict of NodeDefs, which it changes.

    ``outputs`` are tensors; those that are not images are dropped. Raises ModelError.
    """
    notes = list(notes)
    _feed(graphdef.order(nodes, outputs, control=True), options.feeds, notes)

    def evaluate(tensors):
        copies = {key: type(node).FromString(node.SerializeToString()) for key, node in nodes.items()}
        part = graphdef.prune(copies, tensors)
        graphdef.check(part, library, options.trust)
        return [value.numpy() for value in _function(part, library, [], tensors)()]

    kept = graphdef.prune(conditionals.decide(nodes, outputs, evaluate), outputs)
    graphdef.check(kept, library, options.trust)
    images = [node for node in kept.values() if node.op == "Placeholder"]
    if not 1 <= len(images) <= 2:
        raise ModelError(
            f"the network reads {len(images)} images ({', '.join(node.name for node in images)}) but must read one, "
            "or one and its enlarged form; choose --outputs, or set the other placeholders with --feed"
        )
    dims = {node.name: [dim.size for dim in node.attr["shape"].shape.dim] or [-1] * 4 for node in images}
    form = probe.find(
        lambda inputs: _function(kept, library, inputs, outputs), probe.candidates(dims, options.scale), outputs
    )
    _silence(kept, library, form, outputs)
    taken = probe.images(form.outputs, notes)
    run = _function(graphdef.prune(kept, taken), library, form.inputs, taken)
    return probe.original(run, form, taken, name=name, facts=facts, notes=notes)


def _function(nodes, library, inputs, outputs):
    """Return the graph as a function from tensors, one for each of ``inputs``, to a list of ``outputs``."""
    graph = tf.compat.v1.GraphDef(node=nodes.values(), library=library)
    graph.versions.producer = graphdef.PRODUCER

    @tf.function
    def run(*tensors):
        given = {f"{one.name}:0": tensor for one, tensor in zip(inputs, tensors, strict=True)}
        wanted = [":".join(map(str, graphdef.split(tensor))) for tensor in outputs]
        return tf.graph_util.import_graph_def(graph, given, wanted, name="")

    return run


# --- placeholders that are not images


def _feed(nodes, feeds, notes):
    """Turn each placeholder of ``nodes`` that is not an image into a constant."""
    feeds = {graphdef.split(key)[0]: value for key, value in feeds.items()}
    placeholders = {n.name: n for n in nodes.values() if n.op in graphdef.PLACEHOLDERS}
    if missing := feeds.keys() - placeholders.keys():
        raise ModelError(
            f"the outputs do not need placeholder {sorted(missing)[0]!r}; they need: {', '.join(sorted(placeholders))}"
        )
    for name, node in placeholders.items():
        if name in feeds:
            _fix(node, feeds[name])
        elif graphdef.is_image(node) and _guess(node) is None:
            node.op = "Placeholder"
            del node.input[:]
        elif node.op == "PlaceholderWithDefault":
            graphdef.become(node, "Identity", node.input[:1], node.attr["dtype"].type)
            notes.append(f"placeholder {name} keeps its default")
        elif (value := _guess(node)) is not None:
            _fix(node, value)
            notes.append(f"placeholder {name} was set to {value}")
        else:
            raise ModelError(
                f"placeholder {name!r} ({tf.as_dtype(node.attr['dtype'].type).name}) is not a float image: pass its "
                f"value, for example --feed {name}=0 (in Python: feeds={{{name!r}: 0}})"
            )


def _guess(node):
    """Return the value that a placeholder has at inference, or None if its name and type do not show it."""
    if node.attr["dtype"].type == tf.bool.as_datatype_enum:
        return False
    if node.attr["dtype"].type == tf.float32.as_datatype_enum and re.search(r"keep|drop", node.name, re.IGNORECASE):
        is_rate = re.search("rate", node.name, re.IGNORECASE) and not re.search("keep", node.name, re.IGNORECASE)
        return 0.0 if is_rate else 1.0
    return None


def _fix(node, value):
    try:
        node.CopyFrom(graphdef.constant(node.name, value, tf.as_dtype(node.attr["dtype"].type)))
    except (TypeError, ValueError) as error:
        raise ModelError(f"placeholder {node.name!r} cannot be {value!r}: {error}") from error


def _silence(nodes, library, form, outputs):
    """Replace random numbers, such as those of an idle dropout, with a constant; raise ModelError if they matter."""
    random = [node for node in nodes.values() if graphdef.is_random(node)]
    if not random:
        return
    results = []
    for value in (0.999, 0.0):
        for node in random:
            node.CopyFrom(graphdef.constant(node.name, np.float32(value)))
        run = _function(graphdef.prune(nodes, outputs), library, form.inputs, outputs)
        results.append(probe.run_at(run, form.inputs, form.flips, probe.SIZES[0]))
    for one, two in zip(*results, strict=True):
        if not np.array_equal(one, two):
            raise ModelError(
                f"random numbers ({random[0].name!r}) change the output: set the dropout's placeholder with --feed "
                "(keep_prob to 1), or export the network for inference"
            )
