"""Training: data, optimizer, loop, recipes. Real steps on tiny images."""

import json

import numpy as np
import pytest
from kit import onnxlite

tf = pytest.importorskip("tensorflow")

import cv2
import keras

import cvsr
from cvsr.modelfiles import zoo
from cvsr_converters import networks, train
from cvsr_converters.training import data, degrade, loop, losses, muon, start, task, teacher

pytestmark = pytest.mark.training
RECIPES = sorted(train.RECIPES.glob("*.toml"))


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
        "loss": {"l1": 1},
        "schedule": {"steps": 100, "lr": 2e-3, "warmup": 10, "log_seconds": 0} | schedule,
    }


@pytest.mark.parametrize(
    "wanted",
    [data.Wanted(2), data.Wanted(3, enlarged=True), data.Wanted(4, levels=(2, 4)), data.Wanted(2, "rgb", levels=(2,))],
    ids=str,
)
def test_patches_of_all_kinds_belong_together(folder, tmp_path, wanted):
    pairs, scale = data.prepare([folder], wanted, tmp_path / "cache"), wanted.scale
    for _, batch in zip(range(5), pairs.sampler(12, 4, 0), strict=False):
        low = batch.pop("low")
        assert low.shape == (4, 12, 12, wanted.channels)
        assert set(batch) == {f"x{s}" for s in {scale, *wanted.levels}} | ({"enlarged"} if wanted.enlarged else set())
        for key, picture in batch.items():
            factor = scale if key == "enlarged" else int(key[1:])
            assert picture.shape == (4, 12 * factor, 12 * factor, wanted.channels)
            assert picture.dtype == low.dtype == np.float32 and picture.min() >= 0 and picture.max() <= 1
            # a low pixel is about the mean of the block that is its own
            blocks = picture.reshape(4, 12, factor, 12, factor, -1).mean(axis=(2, 4))
            assert np.abs(blocks - low).mean() < 0.03


def test_color_is_rgb(folder, tmp_path):
    high, low = data.pair(folder / "a.png", 2)
    made = data.pictures(high, low, data.Wanted(2, "rgb"))
    assert np.array_equal(made["low"], low[:, :, ::-1]) and np.array_equal(
        made["x2"], high[:, :, ::-1] * np.uint16(256)
    )


def test_weights_choose_between_folders(folder, tmp_path):
    other = tmp_path / "white"
    other.mkdir()
    cv2.imwrite(str(other / "a.png"), np.full((200, 200), 255, np.uint8))
    pairs = data.prepare([folder, other], data.Wanted(2), tmp_path / "cache")
    assert next(pairs.sampler(12, 64, 0, (0, 1)))["low"].min() == 1
    assert next(pairs.sampler(12, 64, 0, (1, 0)))["low"].min() < 1


def test_shrunk_images_are_there_beside_the_whole_ones(folder, tmp_path):
    pairs = data.prepare([folder], data.Wanted(2), tmp_path / "cache", shrink=(1.0, 0.5))
    sizes = [tuple(row[1:3]) for row in pairs.index]
    assert sizes[:2] == [(50, 41), (25, 21)] and len(sizes) == 6
    with pytest.raises(ValueError, match="as large as a patch of 60"):
        next(pairs.sampler(60, 4, 0))


def test_the_cache_is_used_again_and_renewed(folder, tmp_path):
    first = data.prepare([folder], data.Wanted(2), tmp_path / "cache")
    made = sorted((tmp_path / "cache").iterdir())
    assert (data.prepare([folder], data.Wanted(2), tmp_path / "cache").flat["low"] == first.flat["low"]).all()
    assert sorted((tmp_path / "cache").iterdir()) == made
    cv2.imwrite(str(folder / "d.png"), np.zeros((40, 40), np.uint8))
    assert len(data.prepare([folder], data.Wanted(2), tmp_path / "cache").index) == 4


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
    plain = data.prepare([folder], data.Wanted(2), tmp_path / "cache")
    real = data.prepare([folder], data.Wanted(2), tmp_path / "cache", "real")
    assert len(real.index) == degrade.VARIANTS * len(plain.index)
    with pytest.raises(ValueError, match="opencv-linear"):
        data.prepare([folder], data.Wanted(2), tmp_path / "cache", "real-life")


def test_every_turn_has_an_inverse():
    image = np.random.default_rng(0).random((3, 5, 2))
    assert sorted(teacher.TURNS) == list(range(8))
    for turn, inverse in enumerate(teacher.INVERSE):
        assert np.array_equal(data.turned(data.turned(image, turn), inverse), image)
    assert len({data.turned(image[:3, :3], turn).tobytes() for turn in teacher.TURNS}) == 8


@pytest.mark.parametrize("color", ["luma", "rgb"])
def test_a_target_is_blended_with_what_the_teacher_makes(folder, color):
    high, low = data.pair(folder / "b.png", 2)
    wanted = data.Wanted(2, color)
    plain, taught, blend = (
        data.unit(data.pictures(high, low, wanted, which))
        for which in (None, teacher.Teacher("cvsr-small_x2", 1, 1), teacher.Teacher("cvsr-small_x2", 0.25, 1))
    )
    image = plain["low"] if color == "luma" else plain["low"][:, :, ::-1]
    made = np.atleast_3d(cvsr.Upscaler("cvsr-small_x2")(image)).reshape(plain["x2"].shape)
    assert np.abs(taught["x2"] - (made if color == "luma" else made[:, :, ::-1])).max() < 1e-4
    assert np.abs(blend["x2"] - (0.75 * plain["x2"] + 0.25 * taught["x2"])).max() < 1e-4
    assert np.array_equal(blend["low"], plain["low"])


def test_a_teacher_turns_the_image_and_its_results_back(folder):
    """Nearest neighbours commute with turns: the mean of all is each of them."""
    high, low = data.pair(folder / "b.png", 2)
    assert low.shape[0] != low.shape[1]
    small, target = np.atleast_3d(low[:, :, 0]), np.float32(np.atleast_3d(high[:, :, 0]))
    made = [teacher.Teacher("nearest", 1, turns).blended(small, target) for turns in (1, 8)]
    assert np.allclose(*made, atol=1e-3)
    assert np.allclose(made[0][::2, ::2], small, atol=1e-3)


def test_a_teacher_that_does_not_fit_is_refused(folder, tmp_path):
    with pytest.raises(ValueError, match="has the scales 3"):
        data.prepare([folder], data.Wanted(2), tmp_path, teacher=teacher.Teacher("cvsr-small_x3"))
    with pytest.raises(ValueError, match="1 to 8 turns"):
        teacher.Teacher("cvsr-small_x2", turns=9)
    key = teacher.Teacher("cvsr-small", 0.5).key(2)
    for other in (("cvsr-small", 0.6), ("cvsr-medium", 0.5), ("cvsr-small", 0.5, 4)):
        assert key != teacher.Teacher(*other).key(2)


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


def left(folder, network):
    """Return the folder of a run that ended with random weights, and its model."""
    model = task.built(network)
    folder.mkdir()
    model.save_weights(folder / "average.weights.h5")
    (folder / "record.json").write_text(json.dumps({"recipe": {"network": network}}))
    return folder, model


def test_a_deeper_network_starts_as_the_shallower_one(tmp_path):
    options = {"name": "reparam", "scale": 2, "channels": 4, "blocks": 1, "expand": 8}
    run, shallow = left(tmp_path / "shallow", options)
    deep = task.built(options | {"blocks": 3})
    start.begin(deep, {"run": "shallow"}, tmp_path)
    x = np.random.default_rng(0).random((1, 9, 11, 1), np.float32)
    assert np.abs(deep(x).numpy() - shallow(x).numpy()).max() < 1e-6
    other = task.built(options | {"scale": 3})
    start.from_run(other, run, ["tail"])
    assert (other.get_layer("head").get_weights()[0] == shallow.get_layer("head").get_weights()[0]).all()


def test_kernels_with_a_mean_are_no_start_for_those_without(tmp_path):
    options = {"name": "reparam", "scale": 2, "channels": 4, "blocks": 1, "expand": 8}
    run, before = left(tmp_path / "before", options | {"zero_mean": False})
    model = task.built(options)
    with pytest.raises(ValueError, match='name "head" in'):
        start.from_run(model, run)
    start.from_run(model, run, ["head"])
    assert (model.get_layer("body0").get_weights()[0] == before.get_layer("body0").get_weights()[0]).all()
    (tmp_path / "a.onnx").write_bytes(onnxlite.conv_chain(4, 1, 2, 0))
    with pytest.raises(ValueError, match="zero_mean = false"):
        start.from_file(networks.build("reparam", channels=4, blocks=2, expand=40), tmp_path / "a.onnx")


def test_first_kernels_without_a_mean_answer_to_every_photo():
    photo = np.float32(pytest.importorskip("skimage.data").camera())[None, ::4, ::4, None] / 255
    rare = {}
    for zero_mean in (True, False):
        keras.utils.set_random_seed(0)
        head = networks.build("reparam", channels=64, blocks=1, zero_mean=zero_mean).get_layer("head")
        answers = head(photo)[:, 2:-2, 2:-2].numpy()  # beyond the edge are zeros
        rare[zero_mean] = int(((answers > 0).mean((0, 1, 2)) < 0.01).sum())
        assert (np.abs(head.kernel().numpy().mean((0, 1))).max() < 1e-6) == zero_mean
    assert rare[True] == 0 < 5 < rare[False]


def test_a_network_whose_layers_have_no_names_of_their_own_starts_in_their_order(tmp_path):
    options = {"scale": 4, "channels": 4, "blocks": 1, "ends": 3}
    run, before = left(tmp_path / "first", {"name": "srresnet"} | options)
    after = task.built({"name": "srgan"} | options)
    start.from_run(after, run)
    x = np.random.default_rng(0).random((1, 9, 11, 3), np.float32)
    assert np.abs(after(x).numpy() - before(x).numpy()).max() < 1e-6
    with pytest.raises(ValueError, match="zip"):
        start.from_run(task.built({"name": "srgan"} | options | {"blocks": 2}), run)


def test_a_run_can_start_from_a_model_file(tmp_path):
    from onnx import reference

    (tmp_path / "a.onnx").write_bytes(onnxlite.conv_chain(4, 1, 2, 0))
    model = networks.build("reparam", scale=2, channels=4, blocks=2, expand=40, zero_mean=False)
    start.begin(model, {"model": tmp_path / "a.onnx"}, tmp_path)
    x = np.random.default_rng(0).random((1, 1, 64, 64), np.float32)
    expected = reference.ReferenceEvaluator(str(tmp_path / "a.onnx")).run(None, {"input": x})[0]
    assert np.abs(model(x.transpose(0, 2, 3, 1)).numpy().transpose(0, 3, 1, 2) - expected).max() < 1e-5
    with pytest.raises(ValueError, match="expands to 2"):
        start.begin(
            networks.build("reparam", scale=2, channels=4, blocks=1, expand=2, zero_mean=False),
            {"model": tmp_path / "a.onnx"},
            "",
        )


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


@pytest.mark.parametrize(
    ("name", "zero_mean", "channels", "blocks"), [("cvsr-small_x2", False, 16, 7), ("cvsr-medium_x2", True, 32, 11)]
)
def test_a_wider_and_deeper_network_starts_as_a_model_that_comes_with_cvsr(tmp_path, name, zero_mean, channels, blocks):
    model = networks.build("reparam", channels=channels + 4, blocks=blocks, expand=40, zero_mean=zero_mean)
    start.begin(model, {"model": name}, tmp_path)
    (known,) = zoo.find(name).values()
    net = cv2.dnn.readNetFromONNX(str(known.path))
    x = np.random.default_rng(0).random((1, 24, 20, 1), np.float32)
    net.setInput(x.transpose(0, 3, 1, 2))
    # kernels rounded to 8 bits have a mean again, of a ten-thousandth, which is taken from them
    limit = 0.01 if zero_mean else 1e-4
    assert np.abs(model(x).numpy().transpose(0, 3, 1, 2) - net.forward()).max() < limit
    assert np.abs(model.get_layer("body0").kernel()[..., channels:]).max() > 0.01, (
        "new channels have something to learn from"
    )


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


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_starts_from_one_that_there_is_and_is_small(path):
    loaded = train.load(path.stem)
    before = loaded.get("start", {})
    if "run" in before:
        assert train.load(before["run"])["network"]["name"] in (loaded["network"]["name"], "srresnet")
    elif before:
        assert zoo.find(before["model"])
        start.begin(task.built(loaded["network"]), before, path.parent)  # its kernels fit
    if loaded["network"]["name"] == "reparam":
        limit = {"small": 20_000, "large": 450_000}.get(path.stem.split("_")[0].split("-")[1], 110_000)
        assert networks.collapse(task.built(loaded["network"])).count_params() <= limit


SMALL = {"channels": 4, "blocks": 1, "depth": 2, "growth": 4, "bottleneck": 8, "recursions": 2, "units": 1, "expand": 8}
KINDS = {(load["network"]["name"], *load["loss"]): load for load in map(train.load, (path.stem for path in RECIPES))}


@pytest.mark.parametrize("loaded", KINDS.values(), ids=[load["name"] for load in KINDS.values()])
def test_recipes_of_every_network_and_loss_train(loaded, folder, tmp_path):
    plan = {key: dict(value) if isinstance(value, dict) else value for key, value in loaded.items() if key != "start"}
    plan["network"] |= {k: v for k, v in SMALL.items() if k in plan["network"]}
    if "groups" in plan["network"]:
        plan["network"]["channels"] = 2 * plan["network"]["groups"]
    plan["data"] |= {"folders": [str(folder)], "validate": [str(folder)], "patch": 8, "batch": 2, "weights": []}
    if "discriminator" in plan:
        plan["discriminator"] |= {"channels": 4, "dense": 4}
    if "content" in plan["loss"]:  # of random weights: those of ImageNet are in an extra
        plan["loss"]["content"] = {"weight": 1, "name": "vgg16", "weights": None, "layer": "block1_conv2"}
    plan["schedule"] |= {"steps": 10}
    record = loop.Training(plan, tmp_path / "run", tmp_path / "cache").run()
    assert record["steps"] == 10 and all(0 < psnr < 60 for psnr in record["psnr"].values())


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
