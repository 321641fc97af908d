"""SavedModels that were saved in the middle of training: without the optimizer, which only Keras 2 can load."""

import contextlib
import shutil
import tempfile
from pathlib import Path


@contextlib.contextmanager
def left_out(folder):
    """Give ``folder``, or a copy of the SavedModel in it whose objects lack the optimizer, as long as it is loaded.

    An optimizer is an object with slots: variables beside the network's. TensorFlow asks the class that made it for
    them, and where Keras 2 is not installed, there is none.
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
    """Take the objects with slots out of the reach of the others; return whether there were any."""
    owners = {number for number, node in enumerate(nodes) if node.slot_variables}
    for node in nodes:
        kept = [child for child in node.children if child.node_id not in owners]
        if len(kept) != len(node.children):
            del node.children[:]
            node.children.extend(kept)
        del node.slot_variables[:]
    return bool(owners)
