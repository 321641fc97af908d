"""Small networks of spandrel's architectures: each converts right, or is refused with a reason."""

import os
import re

import pytest

pytest.importorskip("onnx", reason="the converter needs onnx")
pytest.importorskip("torch", reason="PyTorch models need torch")
pytest.importorskip("torchvision", reason="spandrel needs torchvision")
pytest.importorskip("spandrel", reason="PyTorch models need spandrel")
pytest.importorskip("cv2", reason="the converted files run in OpenCV")

from kit.spandrel_nets import NETS, convert

# interpreters with another OpenCV each, to try beside the installed one
PYTHONS = [path for path in os.environ.get("CVSR_VERIFY_PYTHONS", "").split(os.pathsep) if path]


@pytest.mark.parametrize("name", NETS)
@pytest.mark.filterwarnings("ignore")
def test_converts_right_or_is_refused_with_a_reason(name, tmp_path):
    result = convert(name, tmp_path, PYTHONS)
    if NETS[name].converts:
        assert not result.refusal
        assert result.report.ok, result.report.markdown()
    else:
        assert result.refusal, "it converts now: say so here"
        assert re.search(r"layer '/.*|accepts square|cannot export \w+ to ONNX", result.refusal)
