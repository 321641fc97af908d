"""Remove the optimizer, which only Keras 2 can load, from SavedModels that were saved during training."""

import contextlib
import shutil
import tempfile
from pathlib import Path


@contextlib.contextmanager
def left_out(folder):
    """Yield ``folder``, or a temporary copy of its SavedModel without the optimizer.

    An optimizer is an object with slots: variables besides the network's. To restore them, TensorFlow needs the
    optimizer's class, which is missing if Keras 2 is not installed.
    """
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    if not any(_drop(graph.object_graph_def.nodes) for graph in saved.meta_graphs):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="cvsr-saved-model-") as copy:
        for part in ("variables", "assets", "assets.extra"):
            if (folder / part).is_dir():
                shutil.copytree(folder / part, Path(copy, part))
        Path(copy, "saved_model.pb").write_bytes(saved.SerializeToString())
        yield Path(copy)


def _drop(nodes):
    """Remove the references to objects with slots; return whether there were any."""
    owners = {number for number, node in enumerate(nodes) if node.slot_variables}
    for node in nodes:
        kept = [child for child in node.children if child.node_id not in owners]
        if len(kept) != len(node.children):
            del node.children[:]
            node.children.extend(kept)
        del node.slot_variables[:]
    return bool(owners)
