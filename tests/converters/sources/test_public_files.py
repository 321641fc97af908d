"""Models made by others, below ``CVSR_DATA``: frozen graphs, HDF5 and TensorFlow.js."""

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the converter needs TensorFlow")
pytest.importorskip("tf2onnx", reason="the converter needs tf2onnx")
pytest.importorskip("onnxruntime", reason="the tests run the graphs in it")

from kit.tracing import operations

from cvsr_converters.facts import Facts
from cvsr_converters.original import Input
from cvsr_converters.sources import Options, tfjs
from cvsr_converters.sources.keras import hdf5
from cvsr_converters.sources.tensorflow import frozen_graph

pytestmark = pytest.mark.training


FILES = [("ESPCN_x2", 2), ("FSRCNN-small_x4", 4), ("FSRCNN_x3", 3), ("LapSRN_x4", 4)]


@pytest.mark.parametrize(("name", "scale"), FILES)
def test_files_of_dnn_superres(data_root, name, scale):
    path = data_root / "models" / "dnn_superres_pb" / f"{name}.pb"
    if not path.is_file():
        pytest.skip("CVSR_DATA has no models/dnn_superres_pb")
    net = frozen_graph.read(path, Options())
    assert net.facts == Facts(color="luma", range=1.0, chroma="dnn_superres", scale=scale)
    assert net.outputs[0] == "NCHW_output"
    assert set(operations(net)) <= {"Conv", "Relu", "PRelu", "LeakyRelu", "Tanh", "Add", "DepthToSpace"}


def test_a_generator_of_keras_2_fixed_to_96x96(data_root):
    net = hdf5.read(data_root / "models" / "keras_full_h5_fast_srgan" / "generator.h5", Options())
    assert "96x96" in net.notes[0]
    image = np.random.default_rng(0).random((1, 3, 10, 14)).astype(np.float32)
    assert net.run(image)[0].shape == (1, 3, 40, 56)


@pytest.mark.parametrize("scale", [2, 4])
def test_models_of_upscalerjs(data_root, scale):
    folder = data_root / "models" / "tfjs_layers_esrgan_slim" / f"x{scale}"
    if not folder.is_dir():
        pytest.skip("CVSR_DATA has no models/tfjs_layers_esrgan_slim")
    net = tfjs.read(folder, Options())
    assert (net.name, net.inputs) == (f"x{scale}", [Input("LR", 3)])
    assert set(operations(net)) == {"Conv", "Relu", "Concat", "Add", "Resize"}
