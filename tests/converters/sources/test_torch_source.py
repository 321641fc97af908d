"""PyTorch files: recognised networks are read as they are, and nothing in a file runs unless it is trusted."""

from __future__ import annotations

import os
import zipfile

import numpy as np
import pytest

pytest.importorskip("onnxruntime", reason="ONNX graphs are run with onnxruntime")
torch = pytest.importorskip("torch", reason="PyTorch models need torch")
pytest.importorskip("torchvision", reason="spandrel needs torchvision")
pytest.importorskip("spandrel", reason="PyTorch models need spandrel")

import safetensors.torch
from spandrel.architectures.Compact import Compact
from spandrel.architectures.RCAN import RCAN

from cvsr.errors import ModelError
from cvsr_converters.conversion.trace import trace
from cvsr_converters.facts import Facts
from cvsr_converters.sources import Options
from cvsr_converters.sources import torch as source

pytestmark = pytest.mark.filterwarnings("ignore")


def compact(channels=3):
    torch.manual_seed(0)
    return Compact(num_in_ch=channels, num_out_ch=channels, num_feat=8, num_conv=2, upscale=2).eval()


@pytest.mark.parametrize("name", ["net.pth", "net.pt", "net.ckpt", "net.safetensors", "old.pth", "wrapped.pth"])
def test_every_container(name, tmp_path):
    net, path = compact(), tmp_path / name
    if name.endswith(".safetensors"):
        safetensors.torch.save_file(net.state_dict(), path)
    elif name == "old.pth":
        torch.save(net.state_dict(), path, _use_new_zipfile_serialization=False)
    elif name == "wrapped.pth":
        weights = {f"module.{key}": value for key, value in net.state_dict().items()}
        torch.save({"params_ema": weights, "iter": 5}, path)
    else:
        torch.save(net.state_dict(), path)
    assert source.matches(path)
    original = source.read(path, Options())
    assert original.facts == Facts(scale=2, color="rgb", range=1.0)
    x = np.random.default_rng(0).random((1, 3, 13, 17)).astype(np.float32)
    with torch.no_grad():
        np.testing.assert_allclose(original.run(x)[0], net(torch.tensor(x)).numpy(), atol=1e-6)


def test_the_graph_keeps_the_names_of_the_layers(tmp_path):
    torch.save(compact(1).state_dict(), tmp_path / "net.pth")
    original = source.read(tmp_path / "net.pth", Options())
    assert original.facts.color == "luma"
    assert "/model/body.0/Conv" in [node.doc_string for node in trace(original).graph.node]


def test_a_network_that_pads_says_its_multiple(tmp_path):
    net = RCAN(scale=2, n_resgroups=1, n_resblocks=1, n_feats=8, reduction=4, unshuffle_mod=True)
    torch.save(net.state_dict(), tmp_path / "net.pth")
    assert source.read(tmp_path / "net.pth", Options()).facts.multiple == 2


def test_run_leaves_its_input_alone(tmp_path):
    torch.save(RCAN(scale=2, n_resgroups=1, n_resblocks=1, n_feats=8, reduction=4).state_dict(), tmp_path / "net.pth")
    x = np.full((1, 3, 16, 16), 0.5, np.float32)
    source.read(tmp_path / "net.pth", Options()).run(x)
    assert (x == 0.5).all()


class Evil:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("old", [True, False])
def test_a_pickle_that_would_run_code_is_refused(old, tmp_path):
    torch.save({"a": Evil(tmp_path / "ran")}, tmp_path / "net.pth", _use_new_zipfile_serialization=not old)
    with pytest.raises(ModelError, match=r"could run.*trust"):
        source.read(tmp_path / "net.pth", Options())
    assert not (tmp_path / "ran").exists()


def test_torchscript_is_refused_unless_trusted(tmp_path):
    torch.jit.trace(compact(), torch.zeros(1, 3, 16, 16)).save(tmp_path / "net.pt")
    with pytest.raises(ModelError, match=r"TorchScript.*trust"):
        source.read(tmp_path / "net.pt", Options())
    assert source.read(tmp_path / "net.pt", Options(trust=True)).facts.scale == 2


def test_weights_that_nobody_knows_are_refused(tmp_path):
    torch.save({"weight": torch.zeros(3, 3)}, tmp_path / "net.pth")
    with pytest.raises(ModelError, match=r"does not support.*export the network as ONNX"):
        source.read(tmp_path / "net.pth", Options())


def test_a_whole_module_and_a_lone_tensor_are_refused(tmp_path):
    torch.save(compact(), tmp_path / "module.pth")
    torch.save(torch.zeros(3), tmp_path / "tensor.pth")
    for name, said in (("module.pth", "Python objects"), ("tensor.pth", r"Tensor.*state_dict\(\)")):
        with pytest.raises(ModelError, match=said):
            source.read(tmp_path / name, Options())


@pytest.mark.parametrize("name", ["net.pth", "net.safetensors"])
def test_a_damaged_file_is_refused(name, tmp_path):
    path = tmp_path / name
    if name.endswith(".pth"):
        torch.save(compact().state_dict(), path, _use_new_zipfile_serialization=False)
    else:
        safetensors.torch.save_file(compact().state_dict(), path)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(ModelError, match="damaged"):
        source.read(path, Options())


def test_a_compressed_archive_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "net.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("net/data.pkl", b"\0" * 1_000_000)
    with pytest.raises(ModelError, match="compressed or damaged"):
        source.read(tmp_path / "net.pth", Options())


def test_matches_needs_more_than_the_name(tmp_path):
    (tmp_path / "net.ckpt").write_bytes(b"a TensorFlow checkpoint")
    assert not source.matches(tmp_path / "net.ckpt")
    assert not source.matches(tmp_path)
