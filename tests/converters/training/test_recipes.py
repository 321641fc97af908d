"""Every recipe can start, and every kind of recipe trains at a small size."""

import pytest

pytest.importorskip("tensorflow")

from cvsr.modelfiles import zoo
from cvsr_converters import networks, train
from cvsr_converters.training import loop, start, task

pytestmark = pytest.mark.training
RECIPES = sorted(train.RECIPES.glob("*.toml"))


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
