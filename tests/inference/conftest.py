"""Deep networks, and how they are cut into tiles and bands."""

from __future__ import annotations

import pytest
from kit import deepnets

from cvsr.inference import plan
from cvsr.inference.plan import SegmentPlan


@pytest.fixture(scope="session")
def deep(tmp_path_factory):
    """The files of the deep networks of the kit, by name."""
    folder = tmp_path_factory.mktemp("deep")
    return {name: build(folder) for name, build in deepnets.BUILT.items()}


@pytest.fixture
def bands(monkeypatch):
    """Set the width of tiles and the height of bands, so that even a small image has several."""

    def choose(tile, rows):
        monkeypatch.setattr(plan, "segments", lambda *_, **__: SegmentPlan(tile, rows, max(1, rows // 4)))

    return choose
