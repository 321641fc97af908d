"""Find TensorFlow operations that do more than compute.

A TensorFlow graph is data, but some operations in it read and write files, open connections or call Python. An
untrusted graph is checked before any of it runs.
"""

import re

from cvsr.errors import ModelError

# Operations that TensorFlow calls stateful, but that only touch variables, random numbers and their own function.
STATEFUL = re.compile(
    r"Assert|Assign(Add|Sub)?VariableOp|Case|CheckNumerics(V2)?|DestroyResourceOp|DisableCopyOnRead|Empty|GuaranteeConst|"
    r"If|Multinomial|(Parameterized)?TruncatedNormal|RandomShuffle|Random(StandardNormal|Uniform|UniformInt)|"
    r"ReadVariableOp|Resource(Apply|Gather)\w*|Stateful\w+|StatelessRandomGetAlg|TensorArray\w*|VarHandleOp|"
    r"VarIsInitializedOp|Variable(V2|Shape)?|While"
)
# TensorFlow does not call all of these stateful, but they access something outside the graph.
OUTSIDE = re.compile(
    r"File|PyFunc|Debug|Dump|Print|Save|Restore|Checkpoint|Proto|Reader|Dataset|Iterator|Rpc|Summary|TPU"
)


def check(nodes, trust=False):
    """Raise ModelError if any of the NodeDefs does more than compute; ``trust`` accepts all."""
    found = {node.op: node.name for node in nodes if danger(node.op)}
    if found and not trust:
        lines = [f"the operation {op} ({name!r}) {danger(op)}" for op, name in sorted(found.items())]
        raise ModelError(
            "this model does more than compute:\n  " + "\n  ".join(lines[:10]) + "\nIt was not run. If you trust its "
            "source, pass --trust; otherwise export the network again without these operations."
        )


def of_objects(graph):
    """Return the NodeDefs of a TensorFlow 2 MetaGraphDef that can run: those reachable from its objects."""
    functions = {one.signature.name: one for one in graph.graph_def.library.function}
    return _with_functions([], functions, set(graph.object_graph_def.concrete_functions))


def of_session(graph):
    """Return the NodeDefs of a TensorFlow 1 MetaGraphDef that can run.

    Those that restore the variables, which every such graph has, are omitted.
    """
    nodes = {node.name: node for node in graph.graph_def.node}
    wanted = [info.name for one in graph.signature_def.values() for info in one.outputs.values()]
    for key in ("saved_model_main_op", "legacy_init_op"):
        wanted += graph.collection_def[key].node_list.value if key in graph.collection_def else []
    found = _behind(nodes, wanted)
    restoring = _behind(nodes, [graph.saver_def.restore_op_name])
    found |= {name: node for name, node in restoring.items() if node.op != "RestoreV2"}
    functions = {one.signature.name: one for one in graph.graph_def.library.function}
    return _with_functions(list(found.values()), functions, set())


def _behind(nodes, tensors):
    """Return the nodes, by name, that the tensors depend on, including control inputs."""
    found, waiting = {}, list(tensors)
    while waiting:
        name = waiting.pop().lstrip("^").partition(":")[0]
        if name in nodes and name not in found:
            found[name] = nodes[name]
            waiting += nodes[name].input
    return found


def _with_functions(nodes, functions, names):
    """Return ``nodes``, those of the functions called ``names``, and those of all functions that any of them call."""
    found, seen, waiting = [], set(), list(nodes)
    while waiting or names:
        for name in names & functions.keys() - seen:
            seen.add(name)
            waiting += functions[name].node_def
        names = set()
        for node in waiting:
            values = list(node.attr.values())
            names |= {value.func.name for value in values} | {f.name for value in values for f in value.list.func}
            names.add(node.op)
            if node.op not in functions:
                found.append(node)
        names, waiting = names & functions.keys() - seen, []
    return found


def danger(op):
    """Return what is wrong with the operation called ``op``, in words, or "" if it only computes."""
    from tensorflow.python.framework import op_def_registry

    known = op_def_registry.get(op)
    if known is None:
        return "is not part of TensorFlow"
    if OUTSIDE.search(op):
        return "reads or writes outside the model, or calls Python"
    if known.is_stateful and not STATEFUL.fullmatch(op):
        return "keeps state outside the graph"
    return ""
