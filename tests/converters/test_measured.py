"""The quality that is recorded beside a model is that of the file, run as users run it."""

import pytest

from cvsr import zoo
from cvsr_converters import export


def test_what_is_recorded_was_measured_on_the_file(data_root, monkeypatch):

    entry = next(entry for entry in zoo.models() if entry.name == "cvsr-small_x2")
    monkeypatch.setenv("CVSR_DATA", str(data_root))
    found = export.measured(entry.path)
    assert found["psnr"] == pytest.approx(entry.psnr, abs=0.01)
    assert 0.9 < found["ssim"]["Set14"] < found["ssim"]["Set5"] < 1
