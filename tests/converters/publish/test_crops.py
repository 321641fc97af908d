"""The page of crops that models are judged by."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

pytest.importorskip("keras", reason="the converter is not installed")

from cvsr_converters.publish import crops


def test_a_row_for_each_crop_and_a_column_for_each_model(photo, tmp_path, monkeypatch):
    monkeypatch.setattr(crops, "distance", lambda one, other: 0.25)
    cv2.imwrite(str(tmp_path / "cat.png"), photo("chelsea")[:130, :150])
    where = [f"--crop={tmp_path / 'cat.png'}:{x},20,40" for x in (10, 60)]
    assert crops.main(["bicubic", "cvsr-small", "-s", "2", "-o", str(tmp_path / "page.png"), *where]) == 0
    page = cv2.imread(str(tmp_path / "page.png"))
    side = 40 * crops.ZOOM
    assert page.shape == (2 * (side + 2 * crops.LINE), 3 * (side + crops.GAP), 3)
    original = page[:side, 2 * (side + crops.GAP) :][:, :side]
    assert np.array_equal(original[:: crops.ZOOM, :: crops.ZOOM], photo("chelsea")[20:60, 10:50])
    assert not np.array_equal(page[:side, :side], original)
    assert (page[side : side + crops.LINE, :side] < 128).any(), "a name below it"


def test_better_models_have_better_numbers(photo, tmp_path):
    cv2.imwrite(str(tmp_path / "cat.png"), photo("chelsea")[:80, :99])
    (_, _, worse, _), (_, _, better, _), (_, same, *_) = crops.made(tmp_path / "cat.png", ["bicubic", "cvsr-small"], 2)
    assert better > worse and np.array_equal(same, photo("chelsea")[:80, :98])


def test_crops_of_different_sides_are_refused(photo, tmp_path, monkeypatch):
    monkeypatch.setattr(crops, "distance", lambda one, other: None)
    cv2.imwrite(str(tmp_path / "cat.png"), photo("chelsea")[:130, :150])
    with pytest.raises(ValueError, match="same side"):
        crops.page([(tmp_path / "cat.png", (0, 0, side)) for side in (20, 24)], ["nearest"], 2)
