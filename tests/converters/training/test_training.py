"""Training: optimizer, loop, command. Real steps on tiny images."""

import json

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from cvsr_converters import train
from cvsr_converters.training import loop, losses, muon, task

pytestmark = pytest.mark.training


def recipe(folder, scale=2, **schedule):
    return {
        "name": "tiny",
        "network": {"name": "reparam", "scale": scale, "channels": 4, "blocks": 1, "expand": 8},
        "data": {"folders": [str(folder)], "validate": [str(folder)], "patch": 12, "batch": 4},
        "loss": {"l1": 1},
        "schedule": {"steps": 100, "lr": 2e-3, "warmup": 10, "log_seconds": 0} | schedule,
    }


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


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_run_trains_records_and_ends(folder, tmp_path, precision):
    plan = recipe(folder)
    plan["precision"] = precision
    record = loop.Training(plan, tmp_path / "run", tmp_path / "cache").run()
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert record["steps"] == 100 and record == json.loads((tmp_path / "run" / "record.json").read_text())
    assert lines[-1]["loss"] < lines[0]["loss"] and lines[-1]["rate"] < 2e-3
    assert (tmp_path / "run" / "average.weights.h5").exists()
    assert set(record["psnr"]) == {str(folder)}


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


@pytest.mark.parametrize("name", ["fsrcnn", "srcnn", "edsr", "lapsrn", "mdsr"])
def test_training_lowers_the_loss_of_every_kind_of_network(folder, tmp_path, name):
    options = {"fsrcnn": {"d": 8, "s": 4, "m": 1}, "srcnn": {"channels": [8, 4]}, "edsr": {"channels": 8, "blocks": 1}}
    options |= {"lapsrn": {"channels": 8, "depth": 1}, "mdsr": {"channels": 8, "blocks": 1}}
    scale = {"lapsrn": 4, "mdsr": [2, 3]}.get(name, 2)
    plan = recipe(folder, steps=120) | {"network": {"name": name, "scale": scale, **options[name]}}
    training = loop.Training(plan, tmp_path / "run", tmp_path / "cache")
    before = training.validate()
    after = training.run()["psnr"]
    assert set(before) == ({f"{folder} x2", f"{folder} x3"} if name == "mdsr" else {str(folder)})
    assert all(after[name] > before[name] + 1 for name in before)


@pytest.mark.parametrize("name", ["edsr", "carn", "drcn", "lapsrn", "reparam"])
def test_mixed_precision_keeps_the_picture_in_full(name):
    options = {"carn": {"channels": 8}, "drcn": {"channels": 8, "recursions": 2}, "lapsrn": {"channels": 8, "depth": 1}}
    options |= {"edsr": {"channels": 8, "blocks": 1}, "reparam": {"channels": 4, "blocks": 1}}
    network = {"name": name, "scale": 2, **options[name]}
    full, mixed = (task.built(network, precision) for precision in ("float32", "bfloat16"))
    mixed.set_weights(full.get_weights())
    low = np.full((1, 8, 8, 3 if name in ("edsr", "carn") else 1), 0.503, np.float32)
    batch = {"low": low, "enlarged": low.repeat(2, 1).repeat(2, 2)}
    one = task.Task(network)
    assert mixed.layers[1].compute_dtype == "bfloat16"
    a, b = (one.function(model, 2)(batch)["x2"].numpy() for model in (full, mixed))
    assert a.dtype == b.dtype == np.float32 and 0 < np.abs(a - b).max() < 0.02 * max(1, np.abs(a).max())
    assert np.abs(b - b.astype(tf.bfloat16.as_numpy_dtype).astype("f4")).max() > 0, "not rounded to 8 bits"


def test_an_adversary_learns_beside_the_generator(folder, tmp_path):
    plan = recipe(folder, steps=40, optimizer="adam", clip=1.0)
    plan |= {"network": {"name": "srgan", "scale": 2, "channels": 4, "blocks": 1, "ends": 3}}
    plan |= {"loss": {"l1": 1, "relativistic": 0.01, "features": 0.1}, "discriminator": {"channels": 4, "dense": 4}}
    training = loop.Training(plan, tmp_path / "run", tmp_path / "cache")
    opponent = training.adversary
    before = [v.numpy() for v in opponent.model.trainable_variables]
    batch = next(training.batches[2])
    real = batch["x2"][:, : -losses.SHIFT, : -losses.SHIFT]
    assert float(opponent.opinion(real, real)) == pytest.approx(0.01 * 2 * np.log(2), rel=0.05)
    training.run()
    assert any(
        np.abs(a - v.numpy()).max() > 1e-4 for a, v in zip(before, opponent.model.trainable_variables, strict=True)
    )
    again = loop.Training(plan, tmp_path / "run", tmp_path / "cache")
    assert np.array_equal(again.adversary.model.get_weights()[0], opponent.model.get_weights()[0])


def test_a_part_of_the_weights_that_a_run_started_from_is_kept(folder, tmp_path):
    first = loop.Training(recipe(folder, steps=10), tmp_path / "first", tmp_path / "cache")
    first.run()
    plan = recipe(folder, steps=10) | {"start": {"run": "first"}}
    ends = {}
    for keep in (0.0, 0.5, 1.0):
        plan["start"]["keep"] = keep
        training = loop.Training(plan, tmp_path / f"keep{keep}", tmp_path / "cache")
        before = training.average[0].numpy()
        training.run()
        ends[keep] = training.average[0].numpy()
    assert np.array_equal(ends[1.0], before) and not np.array_equal(ends[0.0], before)
    np.testing.assert_allclose(ends[0.5], (ends[0.0] + before) / 2, atol=1e-3)


def test_gradients_are_clipped_together():
    a, b = muon.clipped([tf.constant([3.0]), tf.constant([4.0])], 1.0)
    assert float(a[0]) == pytest.approx(0.6) and float(b[0]) == pytest.approx(0.8)
    assert muon.clipped([1, 2], None) == [1, 2]


def test_the_command_trains_a_few_steps(folder, tmp_path, capsys, caplog):
    text = (train.RECIPES / "cvsr-small-seed_x2.toml").read_text()
    text = text.replace('["T91", "BSD200", "BSDS500_test"]', f'["{folder}"]').replace('["Set5", "Set14"]', "[]")
    (tmp_path / "mine.toml").write_text(text)
    arguments = [str(tmp_path / "mine.toml"), "--out", str(tmp_path / "runs"), "--cache", str(tmp_path / "cache")]
    assert train.main([*arguments, "--minutes", "0.02"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["steps"] >= 10
    assert "preparing 3 images" in caplog.text and "step 10" in caplog.text
    with pytest.raises(SystemExit, match="no recipe"):
        train.main(["nothing-of-that-name"])
    text = text.replace("patch =", 'teacher = { model = "nobody" }\npatch =')
    (tmp_path / "taught.toml").write_text(text)
    assert train.main([str(tmp_path / "taught.toml"), *arguments[1:]]) == 2
    assert "train: no model is called 'nobody'" in capsys.readouterr().err


def test_what_goes_wrong_while_patches_are_prepared_ends_the_run():
    def batches():
        yield 1
        raise ValueError("no such patch")

    prepared = loop._prefetch(batches())
    assert next(prepared) == 1
    with pytest.raises(ValueError, match="no such patch"):
        next(prepared)
