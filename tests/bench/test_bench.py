"""``cvsr bench``: the race, its contestants, and what it prints."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from kit import onnxlite

from cvsr.bench import child, cost, layers, peers, race
from cvsr.cli.verbs import main
from cvsr.errors import ModelError
from cvsr.modelfiles import onnx_reader, protobuf, zoo
from cvsr.modelfiles.info import open_model


def contestant(label="a", **more):
    spec = race.Spec(kind="cvsr", model="cvsr-small", scale=2, size=(40, 30), what="picture", threads=1)
    return race.Contestant(label, dataclasses.replace(spec, **more))


def test_all_get_as_many_turns():
    first, second = contestant(), contestant("b", kind="opencv")
    finished = race.run([first, second], rounds=3, warmup=1)
    assert finished == [first, second]
    assert [len(each.seconds) for each in finished] == [3, 3]
    assert all(each.median > 0 and each.version for each in finished)


def test_a_contestant_that_cannot_run_does_not_stop_the_others():
    broken, good = contestant("x", model="cvsr-small", kind="dnn_superres"), contestant()
    assert race.run([broken, good], rounds=1, warmup=0) == [good]
    assert "dnn_superres" in broken.problem
    gone = contestant("y", model="nothing")
    assert race.run([gone], rounds=1) == [] and "nothing" in gone.problem


def test_numbers_of_a_race():
    slow, fast = contestant("s"), contestant("f")
    slow.seconds, fast.seconds = [0.4, 0.2, 0.6], [0.1, 0.1, 0.2]
    assert fast.speed_of(slow) == pytest.approx(3)  # the median of 4, 2 and 3
    assert slow.median == pytest.approx(0.4) and fast.spread > 0


@pytest.mark.parametrize("kind", ["opencv", "onnxruntime", "openvino", "ncnn"])
def test_a_peer_computes_the_same_picture(kind, photo):
    if kind != "opencv":
        pytest.importorskip(kind, reason=f"{kind} is not installed")
    info, image = zoo.find("cvsr-small")[2], photo("astronaut")[:60, 100:177]
    import cvsr

    made = peers.contestant(kind, info, 1)(image)
    assert np.abs(made.astype(int) - cvsr.upscale(image, 2, model=info)).max() <= 1


def test_ncnn_gets_skips_and_slopes_and_refuses_the_rest():
    pytest.importorskip("ncnn", reason="ncnn is not installed")
    random = np.random.default_rng(0)
    weights = {"w": random.normal(size=(3, 3, 3, 3)).astype("f4"), "s": np.float32([0.1, 0.2, 0.3]).reshape(3, 1, 1)}
    nodes = [
        onnxlite.node("Conv", ["x", "w"], "a", kernel_shape=[3, 3], pads=[1] * 4),
        onnxlite.node("PRelu", ["a", "s"], "b"),
        onnxlite.node("Add", ["a", "b"], "c"),
        onnxlite.node("Add", ["c", "a"], "y"),
    ]
    data = onnxlite.model(nodes, weights, {"x": (1, 3, 8, 9)}, {"y": (1, 3, 8, 9)}, {})
    x = random.normal(size=(1, 3, 8, 9)).astype("f4")
    np.testing.assert_allclose(peers.ncnn(data, 1)([x]), peers.opencv(data, 1)([x]), atol=1e-5)
    data = onnxlite.model([onnxlite.node("Sin", ["x"], "y")], {}, {"x": (1, 3, 8, 9)}, {"y": (1, 3, 8, 9)}, {})
    with pytest.raises(ModelError, match="cannot convert Sin to ncnn"):
        peers.ncnn(data, 1)


def test_any_size_changes_nothing_but_sizes():
    data = onnxlite.conv_chain(4, 1, 2, 0)
    freed = peers.any_size(data)
    before, after = onnx_reader.read_onnx(data), onnx_reader.read_onnx(freed)
    assert after.ops == before.ops and after.metadata == before.metadata
    assert after.inputs[0][0] == before.inputs[0][0] and after.inputs[0][1][1:] == [before.inputs[0][1][1], 0, 0]


def test_multiplications_of_a_chain(tmp_path):
    path = tmp_path / "chain_x2.onnx"
    path.write_bytes(onnxlite.conv_chain(4, 1, 2, 0))
    graph = next(protobuf.messages(path.read_bytes(), 7))
    kernels = [
        np.prod(protobuf.ints(each, 1)) for each in protobuf.messages(graph, 5) if len(protobuf.ints(each, 1)) == 4
    ]
    assert cost.macs(open_model(path), (10, 20)) == sum(kernels) * 200
    assert cost.machine(1) > 1e8


def test_pictures_are_the_same_every_time():
    first = child.picture(70, 50, 3)
    assert first.shape == (50, 70, 3) and first.dtype == np.uint8 and first.std() > 20
    assert np.array_equal(first, child.picture(70, 50, 3)) and child.picture(70, 50, 1).shape == (50, 70)


def test_the_command(capsys):
    arguments = ["bench", "cvsr-small", "--size", "40x30", "--rounds", "2", "--against", "opencv", "--memory", "40x30"]
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["contestant"] for row in found["rows"]] == ["cvsr-small_x2, cvsr", "cvsr-small_x2, opencv"]
    assert all(row["milliseconds"] > 0 and row["speed"] > 0 for row in found["rows"])
    assert found["machine"]["macs_per_second"] > 0 and not found["problems"]
    assert main(arguments) == 0
    assert "cvsr-small_x2, opencv" in capsys.readouterr().out


def test_several_sizes_race_each_other(capsys):
    assert main(["bench", "cvsr-small", "--size", "40x30", "--size", "80x60", "--rounds", "2", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["contestant"] for row in rows] == ["cvsr-small_x2, 40x30, cvsr", "cvsr-small_x2, 80x60, cvsr"]
    assert [row["size"] for row in rows] == [[40, 30], [80, 60]]
    for row in rows:
        of_one = 1e6 / (row["size"][0] * row["size"][1])
        assert row["per_megapixel"] == pytest.approx(row["milliseconds"] * of_one, abs=0.1 * of_one)


@pytest.mark.parametrize("arguments, text", [
    (["--against", "magic"], "magic"), (["-s", "7"], "scales"), (["--size", "0x4"], "0x4"),
    (["--python", "/nowhere/python"], "/nowhere/python"),
])  # fmt: skip
def test_wrong_usage_is_said(arguments, text, capsys):
    assert main(["bench", "cvsr-small", "--rounds", "1", *arguments]) == 2
    assert text in capsys.readouterr().err


@pytest.mark.parametrize("model", ["cvsr-small", "fsrcnn", "carn"])
def test_layers_are_timed_and_their_work_is_counted(model, monkeypatch):
    monkeypatch.setattr(layers, "_ROUNDS", 2)
    info = zoo.chosen(model, 2)
    side, rows = layers.profile(info)
    assert side > 2 * info.radius and all(row.seconds > 0 for row in rows)
    convolutions = [row for row in rows if row.kind == "Convolution"]
    counted = sum(row.macs for row in convolutions if row.macs)
    if model == "carn":  # what lies behind its shuffle is not counted
        assert cost.macs(info, (side, side)) is None and counted > 0
    else:
        assert counted == cost.macs(info, (side, side))


def test_the_profile_as_a_table(capsys, monkeypatch):
    monkeypatch.setattr(layers, "_ROUNDS", 2)
    assert main(["bench", "cvsr-small", "--layers"]) == 0
    said = capsys.readouterr().out
    assert "a tile of 210x210 pixels" in said and said.count("Convolution") == 8 and "of peak" in said
    assert main(["bench", "bicubic", "--layers"]) != 0 and "bicubic is an interpolation" in capsys.readouterr().err
