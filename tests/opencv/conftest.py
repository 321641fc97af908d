from __future__ import annotations

import pytest
from kit.fakecv2 import fake_cv2

from cvsr.opencv import device_table, devices, engines


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in ("OPENCV_FORCE_DNN_ENGINE", "OPENCV_DNN_OPENCL_ALLOW_ALL_DEVICES"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def use(monkeypatch):
    """Replace cv2 by one with the given version, targets, GPUs and engines."""

    def install(*args, **options):
        cv2 = fake_cv2(*args, **options)
        for module in (device_table, devices, engines):
            monkeypatch.setattr(module, "cv2", cv2)
        return cv2

    return install
