"""The plot for papers and notebooks: crops in a row, with the extra plot."""

from __future__ import annotations

import pickle
import sys

import cv2
import numpy as np
import pytest

from cvsr.cli.verbs import main

matplotlib = pytest.importorskip("matplotlib", reason="needs the extra plot")

from cvsr.compare import plot
from cvsr.compare.comparison import CROP, compare
from cvsr.errors import OptionError


def test_crops_in_a_row_with_names_and_quality(photo):
    made = compare(None, ["cvsr-small"], reference=photo("chelsea")[:200, :300])
    figure = plot.figure(made)
    assert [axes.get_title().split("\n")[0] for axes in figure.axes] == ["bicubic", "cvsr-small", "original"]
    assert figure.axes[1].get_title().endswith(f"{made.shown[1].psnr:.2f} dB")
    (x, y), half = made.focus, CROP // 2
    shown = figure.axes[1].images[0].get_array()
    np.testing.assert_array_equal(shown[..., ::-1], made.shown[1].image[y - half : y + half, x - half : x + half])


@pytest.mark.parametrize("focus", [(0, 0), (19, 29)])
def test_a_crop_stays_inside(focus):
    image = np.arange(600, dtype=np.uint16).reshape(30, 20)
    assert plot.crop(image, focus, 10).shape == (10, 10)
    assert plot.crop(image, focus, 25).shape == (25, 20)


@pytest.mark.parametrize("kind", ["png", "pdf", "svg"])
def test_the_command_writes_a_plot_and_no_page(kind, photo, tmp_path):
    cv2.imwrite(str(tmp_path / "moon.png"), photo("moon")[:64, :64])
    target = tmp_path / f"moon.{kind.upper()}" if kind == "pdf" else tmp_path / f"plot.{kind}"
    assert main(["compare", str(tmp_path / "moon.png"), "-m", "cvsr-small", "--plot", str(target)]) == 0
    assert target.read_bytes()[:5] in (b"\x89PNG\r", b"%PDF-", b"<?xml")
    assert len(list(tmp_path.iterdir())) == 2


def test_pyplot_is_left_alone(photo, tmp_path):
    loaded = "matplotlib.pyplot" in sys.modules
    plot.figure(compare(photo("moon")[:64, :64], ["bilinear"])).savefig(tmp_path / "plot.png")
    assert ("matplotlib.pyplot" in sys.modules) == loaded


def test_a_notebook_gets_the_picture_and_the_figure_can_travel(photo):
    figure = plot.figure(compare(photo("moon")[:64, :64], ["bilinear"]))
    for one in (figure, pickle.loads(pickle.dumps(figure))):
        picture = cv2.imdecode(np.frombuffer(one._repr_png_(), np.uint8), cv2.IMREAD_COLOR)
        assert picture.shape[1] == round(figure.get_figwidth() * figure.dpi)


def test_without_matplotlib_the_extra_is_named(photo, monkeypatch):
    made = compare(photo("moon")[:32, :32], ["bilinear"])
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(OptionError, match=r'pip install "\.\[plot\]"'):
        plot.figure(made)
