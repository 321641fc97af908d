"""Broken files of PyTorch: each is read or refused with a reason, as test_fuzz has it for the other formats."""

from __future__ import annotations

import os
import random

import pytest

pytest.importorskip("onnxruntime", reason="ONNX graphs are run with onnxruntime")
torch = pytest.importorskip("torch", reason="PyTorch models need torch")
pytest.importorskip("spandrel", reason="PyTorch models need spandrel")
safetensors = pytest.importorskip("safetensors.torch", reason="spandrel reads .safetensors with it")

from kit.fuzzing import CASES, mutated, read_in_children
from spandrel.architectures.Compact import Compact

pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="the child's time is limited by a signal"),
]


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_broken_files_are_read_or_refused(suffix, tmp_path):
    weights = Compact(num_in_ch=3, num_out_ch=3, num_feat=8, num_conv=2, upscale=2).state_dict()
    source, generator = tmp_path / f"net{suffix}", random.Random(suffix)
    if suffix == ".pth":
        torch.save(weights, source)
    else:
        safetensors.save_file(weights, source)
    paths = [source, *(mutated(source, tmp_path / f"{i}{suffix}", generator) for i in range(CASES))]
    results = read_in_children(paths, {})
    assert results.pop(str(source))[0] == "read"
    assert {path: result for path, result in results.items() if result[0] not in ("read", "refused", "crash")} == {}
    assert all(said for result, said in results.values() if result == "refused")
