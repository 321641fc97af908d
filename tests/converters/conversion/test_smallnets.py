"""Small networks of all kinds: each is converted right, in every OpenCV at hand, or refused with a reason."""

from __future__ import annotations

import os

import pytest

pytest.importorskip("tensorflow", reason="the converter needs TensorFlow")
pytest.importorskip("tf2onnx", reason="the converter needs tf2onnx")
pytest.importorskip("cv2")

from kit import smallnets

from cvsr.errors import ModelError

pytestmark = pytest.mark.training

# interpreters with another OpenCV each, to try beside the installed one
PYTHONS = [path for path in os.environ.get("CVSR_VERIFY_PYTHONS", "").split(os.pathsep) if path]
REFUSED = [name for name, net in smallnets.NETS.items() if net.refused]
CONVERTED = [name for name, net in smallnets.NETS.items() if not net.refused]


@pytest.mark.parametrize("name", CONVERTED)
def test_a_network_gives_the_same_numbers_in_opencv(name):
    report = smallnets.prove(name, PYTHONS)
    assert report.ok, "\n" + report.markdown()


@pytest.mark.parametrize("name", REFUSED)
def test_a_network_is_refused_with_a_reason(name):
    with pytest.raises(ModelError, match=smallnets.NETS[name].refused):
        smallnets.convert(name)


def test_table_has_a_column_for_each_runtime_and_says_why_not():
    text = smallnets.table(names=["srcnn", "weights per pixel"])
    header, _, converted, refused, *rest = text.splitlines()
    assert "OpenCV" in header
    assert converted.startswith("| srcnn | ")
    assert "e-0" in converted
    assert refused.startswith("| weights per pixel | refused | refused |")
    assert rest[-1].startswith("- weights per pixel: the size of the image is baked into this network")
