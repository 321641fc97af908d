"""Training: data, optimizer, loop, recipes. Real steps on tiny images."""

import json

import numpy as np
import onnxlite
import pytest

tf = pytest.importorskip("tensorflow")

import cv2  # noqa: E402

from cvsr_converters import networks, train  # noqa: E402
from cvsr_converters.training import data, degrade, loop, muon, start  # noqa: E402

pytestmark = pytest.mark.training


@pytest.fixture
def folder(tmp_path):
    """Three images of odd sizes: two of color, one gray."""
    from skimage import data as photos

    folder = tmp_path / "images"
    folder.mkdir()
    photo = cv2.cvtColor(photos.astronaut(), cv2.COLOR_RGB2BGR)
    cv2.imwrite(str(folder / "a.png"), photo[:101, :83])
    cv2.imwrite(str(folder / "b.png"), photo[100:190, 200:331])
    cv2.imwrite(str(folder / "c.png"), photo[200:280, 100:180, 1])
    return folder


def recipe(folder, scale=2, **schedule):
    return {
        "name": "tiny",
        "network": {"name": "reparam", "scale": scale, "channels": 4, "blocks": 1, "expand": 8},
        "data": {"folders": [str(folder)], "validate": [str(folder)], "patch": 12, "batch": 4},
        "loss": {"name": "l1"},
        "schedule": {"steps": 100, "lr": 2e-3, "warmup": 10, "log_seconds": 0} | schedule,
    }


@pytest.mark.parametrize("scale", [2, 3])
def test_patches_of_low_and_high_resolution_belong_together(folder, tmp_path, scale):
    pairs = data.prepare([folder], scale, tmp_path / "cache")
    for _, (low, planes) in zip(range(5), pairs.sampler(12, 4, 0), strict=False):
        assert low.shape == (4, 12, 12, 1) and planes.shape == (4, 12, 12, scale**2)
        assert low.dtype == planes.dtype == np.float32 and low.min() >= 0 and planes.max() <= 1
        # a low pixel is about the mean of the block that its planes hold
        assert np.abs(planes.mean(axis=3) - low[..., 0]).mean() < 0.03


def test_the_cache_is_used_again_and_renewed(folder, tmp_path):
    first = data.prepare([folder], 2, tmp_path / "cache")
    made = sorted((tmp_path / "cache").iterdir())
    assert (data.prepare([folder], 2, tmp_path / "cache").low == first.low).all()
    assert sorted((tmp_path / "cache").iterdir()) == made
    cv2.imwrite(str(folder / "d.png"), np.zeros((40, 40), np.uint8))
    assert len(data.prepare([folder], 2, tmp_path / "cache").index) == 4


@pytest.mark.parametrize("name", degrade.DEGRADATIONS)
def test_a_degraded_photo_is_the_photo_made_small(folder, name):
    for variant in range(6):
        high, low = data.pair(folder / "a.png", 3, name, variant)
        assert high.shape == (99, 81, 3) and low.shape == (33, 27, 3) and low.dtype == np.uint8
        mean = cv2.resize(high, (27, 33), interpolation=cv2.INTER_AREA)
        assert np.abs(mean.astype(int) - low).mean() < 12
        again = data.pair(folder / "a.png", 3, name, variant)[1]
        assert np.array_equal(low, again), "the same variant is the same picture"
    other = data.pair(folder / "a.png", 3, name, 99)[1]
    assert np.array_equal(low, other) is (name not in degrade.RANDOM)


def test_chance_is_prepared_several_times_and_apart(folder, tmp_path):
    plain = data.prepare([folder], 2, tmp_path / "cache")
    real = data.prepare([folder], 2, tmp_path / "cache", "real")
    assert len(real.index) == degrade.VARIANTS * len(plain.index)
    with pytest.raises(ValueError, match="opencv-linear"):
        data.prepare([folder], 2, tmp_path / "cache", "real-life")


def test_missing_data_say_what_to_set(monkeypatch):
    monkeypatch.delenv("CVSR_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match="CVSR_DATA"):
        data.images(["T91"])


@pytest.mark.parametrize("shape", [(9, 16), (144, 128), (128, 16)])
def test_orthogonalised_has_singular_values_near_one(shape):
    matrix = np.random.default_rng(0).normal(size=shape).astype("f4")
    values = np.linalg.svd(muon.orthogonalised(tf.constant(matrix)).numpy(), compute_uv=False)
    assert values.min() > 0.5 and values.max() < 1.5


def test_muon_finds_a_minimum():
    goal = np.random.default_rng(1).normal(size=(3, 3, 2, 4)).astype("f4")
    kernel, bias = tf.Variable(tf.zeros(goal.shape)), tf.Variable(tf.zeros(4))
    optimizer = muon.Muon([kernel, bias])
    for step in range(300):
        optimizer.set_rate(0.1 * (1 - step / 300))
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((kernel - goal) ** 2) + tf.reduce_mean((bias - 1) ** 2)
        optimizer.apply(tape.gradient(loss, [kernel, bias]))
    assert float(loss) < 1e-3


def test_collapsed_network_is_the_same_function():
    model = networks.build("reparam", scale=3, channels=4, blocks=2, expand=8)
    for variable in model.trainable_variables:
        variable.assign(np.random.default_rng(len(variable.shape)).normal(0, 0.2, variable.shape))
    x = np.random.default_rng(0).random((1, 9, 11, 1), np.float32)
    plain = networks.collapse(model)
    assert np.abs(plain(x).numpy() - model(x).numpy()).max() < 1e-5
    assert plain.count_params() == (25 * 4 + 4) + 2 * (9 * 16 + 4) + (9 * 4 * 9 + 9)
    assert {layer.__class__.__name__ for layer in plain.layers} == {"InputLayer", "Conv2D", "ReLU"}


def test_a_deeper_network_starts_as_the_shallower_one(tmp_path):
    options = {"scale": 2, "channels": 4, "blocks": 1, "expand": 8}
    shallow = networks.build("reparam", **options)
    shallow.save_weights(tmp_path / "s.weights.h5")
    deep = networks.build("reparam", **(options | {"blocks": 3}))
    start.from_run(deep, tmp_path / "s.weights.h5", options)
    x = np.random.default_rng(0).random((1, 9, 11, 1), np.float32)
    assert np.abs(deep(x).numpy() - shallow(x).numpy()).max() < 1e-6
    other = networks.build("reparam", **(options | {"scale": 3}))
    start.from_run(other, tmp_path / "s.weights.h5", options, ["tail"])
    assert (other.get_layer("head").get_weights()[0] == shallow.get_layer("head").get_weights()[0]).all()


def test_a_run_can_start_from_a_model_file(tmp_path):
    from onnx import reference

    (tmp_path / "a.onnx").write_bytes(onnxlite.conv_chain(4, 1, 2, 0))
    model = networks.build("reparam", scale=2, channels=4, blocks=2, expand=40)
    start.begin(model, {"model": tmp_path / "a.onnx"}, tmp_path)
    x = np.random.default_rng(0).random((1, 1, 64, 64), np.float32)
    expected = reference.ReferenceEvaluator(str(tmp_path / "a.onnx")).run(None, {"input": x})[0]
    assert np.abs(model(x.transpose(0, 2, 3, 1)).numpy().transpose(0, 3, 1, 2) - expected).max() < 1e-5
    with pytest.raises(ValueError, match="expands to 2"):
        start.begin(
            networks.build("reparam", scale=2, channels=4, blocks=1, expand=2), {"model": tmp_path / "a.onnx"}, ""
        )


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_run_trains_records_and_ends(folder, tmp_path, precision):
    plan = recipe(folder)
    plan["network"]["precision"] = precision
    record = loop.Training(plan, tmp_path / "run", tmp_path / "cache").run()
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert record["steps"] == 100 and record == json.loads((tmp_path / "run" / "record.json").read_text())
    assert lines[-1]["loss"] < lines[0]["loss"] and lines[-1]["rate"] < 2e-3
    assert (tmp_path / "run" / "average.weights.h5").exists()
    assert set(record["psnr"]) == {str(folder)}


def test_a_wider_and_deeper_network_starts_as_a_model_that_comes_with_cvsr(tmp_path):
    from cvsr import zoo

    model = networks.build("reparam", scale=2, channels=20, blocks=7, expand=32)
    start.begin(model, {"model": "cvsr-small_x2"}, tmp_path)
    (known,) = zoo.find("cvsr-small_x2").values()
    net = cv2.dnn.readNetFromONNX(str(known.path))
    x = np.random.default_rng(0).random((1, 24, 20, 1), np.float32)
    net.setInput(x.transpose(0, 3, 1, 2))
    assert np.abs(model(x).numpy().transpose(0, 3, 1, 2) - net.forward()).max() < 1e-4
    assert np.abs(model.get_layer("body0").kernel()[..., 16:]).max() > 0.01, "new channels have something to learn from"


def test_an_interrupted_run_goes_on_where_it_was(folder, tmp_path):
    first = loop.Training(recipe(folder), tmp_path / "run", tmp_path / "cache")
    first.step.assign(50)
    first.average[0].assign(first.average[0] + 1)
    first.optimizer.momenta[0].assign(first.optimizer.momenta[0] + 2)
    first.manager.save()
    again = loop.Training(recipe(folder), tmp_path / "run", tmp_path / "cache")
    assert int(again.step) == 50 and again.progress == 0.5
    for a, b in ((first.average, again.average), (first.optimizer.momenta, again.optimizer.momenta)):
        assert all((x.numpy() == y.numpy()).all() for x, y in zip(a, b, strict=True))
    assert again.run()["steps"] == 100


def test_minutes_shorten_the_schedule(folder, tmp_path):
    training = loop.Training(recipe(folder, steps=10**9), tmp_path / "run", tmp_path / "cache", minutes=0.02)
    record = training.run()
    assert record["steps"] < 10**6 and training.rate() < 1e-5


@pytest.mark.parametrize("path", sorted(train.RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_recipe_makes_its_network_and_starts_from_one_that_there_is(path):
    loaded = train.load(path.stem)
    options = {k: v for k, v in loaded["network"].items() if k != "name"}
    model = networks.build(loaded["network"]["name"], **options)
    assert model.output_shape[-1] == options["scale"] ** 2
    limit = {"small": 20_000, "medium": 110_000, "large": 450_000}[path.stem.partition("_")[0].split("-")[1]]
    assert networks.collapse(model).count_params() <= limit
    if "run" in loaded.get("start", {}):
        source = train.load(loaded["start"]["run"])["network"]
        assert loaded["start"]["network"].items() <= source.items()


def test_the_command_trains_a_few_steps(folder, tmp_path, capsys):
    text = (train.RECIPES / "cvsr-small-seed_x2.toml").read_text()
    text = text.replace('["T91", "BSD200", "BSDS500_test"]', f'["{folder}"]').replace('["Set5", "Set14"]', "[]")
    (tmp_path / "mine.toml").write_text(text)
    arguments = [str(tmp_path / "mine.toml"), "--out", str(tmp_path / "runs"), "--cache", str(tmp_path / "cache")]
    assert train.main([*arguments, "--minutes", "0.02"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["steps"] >= 50
    with pytest.raises(SystemExit, match="no recipe"):
        train.main(["nothing-of-that-name"])
