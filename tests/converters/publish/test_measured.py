"""The quality that is recorded beside a model is that of the file, run as users run it."""

import numpy as np
import pytest

import cvsr
from cvsr import evaluate
from cvsr.modelfiles import zoo
from cvsr_converters import export
from cvsr_converters.training import data


def test_what_is_recorded_was_measured_on_the_file(data_root, monkeypatch):

    entry = next(entry for entry in zoo.models() if entry.name == "cvsr-small_x2")
    monkeypatch.setenv("CVSR_DATA", str(data_root))
    found = export.measured(entry.path)
    assert found["psnr"] == pytest.approx(entry.psnr, abs=0.01)
    assert 0.9 < found["ssim"]["Set14"] < found["ssim"]["Set5"] < 1


@pytest.mark.parametrize("scale", zoo.families()["cvsr-photo"])
def test_the_model_for_photos_mends_what_phones_and_the_web_do(data_root, monkeypatch, scale):
    monkeypatch.setenv("CVSR_DATA", str(data_root))
    scores = {"bicubic": [], "cvsr-photo": []}
    for path in data.images(["Set5", "Set14"]):
        original, small = data.pair(path, scale, "real")
        for model, found in scores.items():
            found.append(evaluate.compare(original, cvsr.Upscaler(model, scale)(small), scale)[0])
    assert np.mean(scores["cvsr-photo"]) > np.mean(scores["bicubic"]) + 0.8
