"""What the tests of the sources share."""

import pytest


@pytest.fixture
def save(tmp_path):
    """Give a function that writes the graph that another builds, and reads it."""
    from kit.tf1graphs import tf, v1

    from cvsr_converters.sources import Options
    from cvsr_converters.sources.tensorflow import frozen_graph

    def write(build, options=None, change=None, name="net.pb"):
        v1.disable_control_flow_v2()
        try:
            with tf.Graph().as_default() as graph:
                build()
        finally:
            v1.enable_control_flow_v2()
        graph_def = graph.as_graph_def()
        if change:
            change(graph_def)
        path = tmp_path / name
        path.write_bytes(graph_def.SerializeToString())
        assert frozen_graph.matches(path)
        return frozen_graph.read(path, options or Options())

    return write
