"""TensorFlow 2 object checkpoints (.index and .data-…): weights for a network that the user names.

Such a file stores the objects that held the variables, in the order of their creation, but no graph. The object whose
layers have the same shapes as the network's provides the weights.
"""

import re

from cvsr.errors import ModelError

TITLE = "TensorFlow 2 checkpoint (a folder with a file called checkpoint, or NAME.index)"
_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
_OPTIMIZERS = frozenset({"iter", "iterations", "_iterations"})  # an optimizer's step counter


def matches(path):
    """Return whether ``path`` is a checkpoint's folder, one of its files or their common prefix, without .meta."""
    prefix = _prefix(path)
    return prefix is not None and not prefix.with_name(prefix.name + ".meta").exists()


def read(path, options):
    """Return the Original of the network in ``options`` with the weights of the checkpoint. Raises ModelError."""
    from cvsr_converters.sources.keras import model as keras_model
    from cvsr_converters.sources.tensorflow import bundle

    prefix = _prefix(path)
    assert prefix is not None, "matches() has found it"
    name = f"{prefix.parent.name}/{prefix.name}"
    reader = bundle.check(prefix)
    model, facts = keras_model.network(options, name)
    shapes = reader.get_variable_to_shape_map()
    if _GRAPH not in shapes:
        raise ModelError(
            f"{name} was not written by tf.train.Checkpoint of TensorFlow 2: convert its .meta, if it has one"
        )
    fits, notes = _fit(model, _candidates(bundle.value(reader, _GRAPH), shapes, name), name)
    for weight, key in fits:
        weight.assign(bundle.value(reader, key))
    return keras_model.original(model, options, prefix.parent.name if path.is_dir() else prefix.name, facts, notes)


def _prefix(path):
    """Return the common prefix of a checkpoint's files, or None if there is none."""
    if path.is_dir():
        if (path / "saved_model.pb").exists() or not (path / "checkpoint").is_file():
            return None
        with (path / "checkpoint").open(errors="replace") as file:
            latest = re.search(r'^model_checkpoint_path:\s*"([^"]+)"', file.read(1 << 16), re.MULTILINE)
        # the name alone: the folder may have moved since
        path = path / re.split(r"[/\\]", latest[1])[-1] if latest else path / "none"
    else:
        path = path.with_name(re.sub(r"\.(index|data-\d+-of-\d+)$", "", path.name))
    return path if path.with_name(path.name + ".index").is_file() else None


def _candidates(data, shapes, name):
    """Return {object: [(layer, [(variable, key, shape)])]} for each object that holds variables."""
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import trackable_object_graph_pb2

    try:
        nodes = trackable_object_graph_pb2.TrackableObjectGraph.FromString(data).nodes
    except DecodeError as error:
        raise ModelError(f"the object graph in {name} is broken: {error}") from error
    found, waiting, seen = {}, [(0, "the root object")], set()
    for number, path in waiting:  # grows: outer objects come first
        if number in seen or number >= len(nodes):
            continue
        seen.add(number)
        if layers := _layers(nodes, number, shapes):
            found[path] = layers
        inner = "" if path == "the root object" else f"{path}/"
        waiting += [(child.node_id, f"{inner}{child.local_name}") for child in nodes[number].children]
    return found


def _layers(nodes, root, shapes):
    """Return [(layer, [(variable, key, shape)])] of the objects below ``root``, in order of creation."""
    found, seen, waiting = [], set(), [(root, "")]
    while waiting:
        number, path = waiting.pop()
        if number in seen or number >= len(nodes):
            continue
        seen.add(number)
        children = nodes[number].children
        if nodes[number].slot_variables or _OPTIMIZERS & {child.local_name for child in children}:
            continue
        own = []
        for child in children:
            keys = [one.checkpoint_key for one in nodes[child.node_id].attributes if one.name == "VARIABLE_VALUE"]
            if keys and keys[0] in shapes and child.node_id not in seen and shapes[keys[0]]:
                seen.add(child.node_id)
                own.append((child.local_name.lstrip("_"), keys[0], tuple(shapes[keys[0]])))
        if own:
            found.append((path or "it", own))
        waiting += [(c.node_id, f"{path}/{c.local_name}".lstrip("/")) for c in reversed(children)]
    return found


def _fit(model, candidates, name):
    """Return ([(weight of the model, key in the file)], notes) of the first object that fits; raise ModelError."""
    from cvsr_converters.sources.keras import model as keras_model

    wanted = [(layer.name, layer.trainable_weights + layer.non_trainable_weights) for layer in model.layers]
    wanted = [(layer, weights) for layer, weights in wanted if weights]
    fits = {path: fit for path, layers in candidates.items() if (fit := _pair(wanted, layers))}
    if not fits:
        raise keras_model.misfit(model, _rows(wanted, candidates), name)
    path, (pairs, notes) = next(iter(fits.items()))
    others = [other for other, fit in fits.items() if [k for _, k in fit[0]] != [k for _, k in pairs]]
    if others:
        notes = [*notes, f"several networks in {name} fit: using {path}, not {', '.join(others)}"]
    return pairs, notes


def _pair(wanted, layers):
    """Return ([(weight, key)], notes) if each layer has one with the same shapes, in order if possible; else None."""
    left, pairs, notes = list(layers), [], []
    if len(wanted) != len(layers):
        return None
    for layer, weights in wanted:
        fitting = ((i, keys) for i, (_, own) in enumerate(left) if (keys := _keys(weights, own)))
        place, keys = next(fitting, (0, None))
        if keys is None:
            return None
        there, _ = left.pop(place)
        if place and not notes:
            notes = [f"its layers are in a different order and were matched by shape: {there} is {layer}"]
        pairs += zip(weights, keys, strict=True)
    return pairs, notes


def _keys(weights, own):
    """Return the keys of the variables that are a layer's weights, by name or else by order; None if shapes differ."""
    named = {variable: (key, shape) for variable, key, shape in own}
    by_name = set(named) == {weight.name for weight in weights}
    found = [named[w.name] for w in weights] if by_name else [(key, shape) for _, key, shape in own]
    return [key for key, _ in found] if [shape for _, shape in found] == [tuple(w.shape) for w in weights] else None


def _rows(wanted, candidates):
    """Return the rows (network, file) of the layers that do not fit, for the object that fits best."""
    if not candidates:
        return [("its layers", "no variables")]
    both = {}
    for path, layers in candidates.items():
        rows = []
        for i in range(max(len(wanted), len(layers))):
            here = _text(wanted[i][0], [w.shape for w in wanted[i][1]]) if i < len(wanted) else "no layer"
            there = _text(layers[i][0], [shape for *_, shape in layers[i][1]]) if i < len(layers) else "no layer"
            if here.partition(": ")[2] != there.partition(": ")[2]:
                rows.append((here, there))
        both[path] = rows
    return min(both.values(), key=len)


def _text(name, shapes):
    return f"{name}: " + " ".join("x".join(map(str, shape)) for shape in shapes)
