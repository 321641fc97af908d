"""The survey of all models: cost, table, plot, cards."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

onnx = pytest.importorskip("onnx")

import numpy as np

from cvsr_converters.publish import cards, cost, survey

MODELS = Path(__file__).parents[3] / "models"


def row(psnr, ms=None, **more):
    found = {"psnr": {"Set5": psnr, "Set14": psnr - 4}, "ssim": {"Set5": 0.95, "Set14": 0.9}, **more}
    return found | ({"milliseconds": {"4.14.0": ms, "5.0.0": 2 * ms}} if ms else {})


@pytest.mark.parametrize(("name", "per_input_pixel"), [("cvsr-medium_x2", 94_112), ("cvsr-medium_x3", 95_552)])
def test_the_cost_of_a_chain_is_that_of_its_kernels(name, per_input_pixel):
    scale = int(name[-1])
    data = (MODELS / "cvsr-medium" / f"{name}.onnx").read_bytes()
    assert cost.multiplications(data, scale) == pytest.approx(per_input_pixel / scale**2)


def test_the_cost_of_what_works_on_the_enlarged_image_and_of_deconvolutions():
    def model(op, weights, scale, **metadata):
        shape = [1, 1, "h", "w"]
        node = onnx.helper.make_node(op, ["x", "w"], ["y"], pads=[1] * 4, strides=[scale, scale], kernel_shape=[4, 4])
        graph = onnx.helper.make_graph(
            [node], "g", [onnx.helper.make_tensor_value_info("x", 1, shape)],
            [onnx.helper.make_tensor_value_info("y", 1, ["n", "c", "a", "b"])],
            [onnx.numpy_helper.from_array(np.zeros(weights, np.float32), "w")],
        )  # fmt: skip
        made = onnx.helper.make_model(graph)
        onnx.helper.set_model_props(made, metadata)
        return made.SerializeToString()

    assert cost.multiplications(model("ConvTranspose", (1, 1, 4, 4), 2), 2) == 16 / 4
    large = cost.multiplications(model("Conv", (8, 1, 4, 4), 1, **{"cvsr.inputs": "bicubic"}), 2)
    assert large == pytest.approx(8 * 16 * (95 / 96) ** 2)


def test_the_table_is_sorted_and_says_what_is_known():
    found = {"2": {"fsrcnn_x2": row(37, 80.25, parameters=12809, bytes=52_000), "bicubic": row(33.7)}}
    lines = survey.table(found).splitlines()
    assert lines[0] == "### x2"
    assert lines[4].startswith("| bicubic | 33.70 / 0.9500 | 29.70 / 0.9000 |  |")
    assert lines[5] == (
        "| fsrcnn_x2 | 37.00 / 0.9500 | 33.00 / 0.9000 | 37.00 / 32.63 | 12,809 |  | 80.25 | 160.5 | 52 |"
    )


def test_the_plot_has_the_front(tmp_path):
    pytest.importorskip("matplotlib")
    found = {s: {f"a_x{s}": row(37, 80), f"b_x{s}": row(36, 90), "bicubic": row(33.7, 1)} for s in "234"}
    survey.plot(found, "4.14.0", tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 10_000


def test_a_card_tells_how_the_network_was_made(tmp_path):
    pytest.importorskip("tensorflow")
    recipe = {"name": "vdsr_x2", "network": {"name": "vdsr", "scale": 2, "depth": 12}, "loss": {"l1": 1}}
    recipe |= {"data": {"folders": ["T91", "BSD200"], "validate": ["Set5"]}}
    entry = {"recipe": recipe, "steps": 12345, "minutes": 30.0, "date": "2026-01-02", "commit": "a" * 40}
    entry |= {"versions": {"tensorflow": "2.21"}}
    folder = tmp_path / "vdsr"
    folder.mkdir()
    (folder / "training.json").write_text(json.dumps({"vdsr_x2.onnx": entry}))
    (folder / "VDSR_x2.pb").write_bytes(b"")
    shutil.copy(MODELS / "vdsr" / "vdsr_x2.onnx", folder)
    known = row(37.2, parameters=1000, multiplications=900, bytes=4000)
    (tmp_path / "survey.json").write_text(json.dumps({"2": {"vdsr_x2": known, "bicubic": row(33.7)}}))
    assert cards.main([str(folder)]) == 0
    text = (folder / "README.md").read_text()
    for part in (
        "# vdsr\n", "Accurate Image Super-Resolution", "```\n", "depth = 12 | 1,000 | 900 | 4 KB",
        "images/T91, images/BSD200",
        "| x2 | 37.20 / 0.9500 | 33.20 / 0.9000 | 33.70 / 0.9500 | 29.70 / 0.9000 |", "VDSR_x2.pb are",
        "export runs/vdsr_x2 -o models/vdsr/vdsr_x2.onnx --half --bits 8", "loss: l1.",
        "12,345 | 30 | 2026-01-02 | aaaaaaaaaa | 2.21",
    ):  # fmt: skip
        assert part in text, part


def test_a_survey_measures_what_is_new_only(tmp_path, data_root, monkeypatch):
    index = json.loads((MODELS / "index.json").read_text())
    index["models"] = [entry for entry in index["models"] if entry["name"] == "cvsr-small_x3"]
    (tmp_path / "index.json").write_text(json.dumps(index))
    (tmp_path / "cvsr-small").mkdir()
    shutil.copy(MODELS / "cvsr-small" / "cvsr-small_x3.onnx", tmp_path / "cvsr-small")
    monkeypatch.setenv("CVSR_DATA", str(data_root))
    monkeypatch.setattr(survey, "rivals", lambda scale: {"bicubic": "bicubic"})
    (tmp_path / "README.md").write_text(f"before\n{survey.BEGIN}\nold\n{survey.END}\nafter\n")
    assert survey.main([str(tmp_path)]) == 0
    text = (tmp_path / "README.md").read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text
    assert "| cvsr-small_x3 | 33.2" in text and "| bicubic | 30.63" in text
    monkeypatch.setattr(survey, "measured", lambda what, scale: pytest.fail("measured again"))
    assert survey.main([str(tmp_path)]) == 0
