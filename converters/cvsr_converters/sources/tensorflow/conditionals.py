"""Resolve TF1's conditionals for inference: once placeholders such as is_training have values, one branch is dead.

    x ── Switch(pred) ─┬─ :0 (false) ── branch a ──┐
                       └─ :1 (true)  ── branch b ── Merge ── y      →      x ── branch a ── y      (pred is false)

``tf.cond`` builds this, mostly for batch normalization.
"""

from cvsr.errors import ModelError
from cvsr_converters.sources.tensorflow import graphdef

_SWITCHES, _MERGES = {"Switch", "RefSwitch"}, {"Merge", "RefMerge"}


def decide(nodes, outputs, evaluate):
    """Return ``nodes`` without the Switch and Merge that ``outputs`` need; change them in place.

    ``evaluate`` maps a list of tensors to their values. Raises ModelError if a condition depends on the image.
    """
    needed = graphdef.order(nodes, outputs, control=True)
    switches = [node for node in needed.values() if node.op in _SWITCHES]
    if not switches:
        return nodes
    conditions = dict.fromkeys(node.input[1] for node in switches)
    for condition in conditions:
        for node in graphdef.order(nodes, [condition]).values():
            if node.op == "Placeholder":
                raise ModelError(
                    f"the condition of {switches[0].name!r} depends on the placeholder {node.name!r}: pass its value"
                )
    values = dict(zip(conditions, evaluate(list(conditions)), strict=True))
    dead = _walk(needed.values(), values)
    if lost := [tensor for tensor in outputs if _is_dead(tensor, dead)]:
        raise ModelError(f"{lost[0]!r} is not computed at inference, given the values of {', '.join(map(str, values))}")
    return nodes


def _walk(ordered, values):
    """Turn each Switch and Merge into an Identity; return the dead outputs. In ``ordered``, inputs come first."""
    dead = set()  # (node, output), or (node, None) for all of its outputs
    renamed = {}
    for node in ordered:
        alive = [tensor for tensor in node.input if not _is_dead(tensor, dead)]
        inputs = [renamed.get(tensor, tensor) for tensor in alive]
        if node.op in _MERGES and (data := [tensor for tensor in inputs if not tensor.startswith("^")]):
            graphdef.become(node, "Identity", data[:1])
        elif len(alive) < len(node.input):
            dead.add((node.name, None))
        elif node.op in _SWITCHES:
            lives = int(bool(values[node.input[1]]))
            dead.add((node.name, 1 - lives))
            renamed[graphdef.join(node.name, lives)] = node.name
            graphdef.become(node, "Identity", inputs[:1])
        else:
            del node.input[:]
            node.input.extend(inputs)
    return dead


def _is_dead(tensor, dead):
    name, index = graphdef.split(tensor)
    return (name, None) in dead or (name, index) in dead
