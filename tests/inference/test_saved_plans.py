"""Plans measured on this machine: saved, used, overridden by options, and without effect on the pixels."""

from __future__ import annotations

import json

import numpy as np
import pytest

import cvsr
from cvsr import machine
from cvsr.bench import tune
from cvsr.cli.verbs import main
from cvsr.inference import plan, saved_plans
from cvsr.inference.saved_plans import SavedPlan
from cvsr.modelfiles import zoo


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CVSR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "plans.json"


@pytest.fixture
def info():
    return zoo.chosen("cvsr-small")


def test_what_is_remembered_is_used(info, photo):
    image, rules = photo("astronaut")[:70, :90], cvsr.Upscaler(info, 2, exact=True)
    assert "as measured" not in rules.ran_on.plan
    saved_plans.remember({saved_plans.key(info, exact=True): SavedPlan(48, 1, 1.5)})
    assert "tiles of 48 pixels, 1 at a time, as measured" in str(rules.ran_on)
    seen = []
    made = rules(image, progress=seen.append)
    assert len(seen) == 4, "2 x 2 tiles of 48 pixels"
    assert np.array_equal(made, cvsr.Upscaler(info, 2, exact=True, tuned=False)(image))


def test_options_of_the_caller_override_a_saved_plan(info):
    saved_plans.remember({saved_plans.key(info, exact=False): SavedPlan(48, 1)})
    assert "48" in cvsr.Upscaler(info, 2).ran_on.plan
    for options in ({"tile": 64}, {"threads": 2}, {"tuned": False}, {"exact": True}):
        assert "48" not in cvsr.Upscaler(info, 2, **options).ran_on.plan


def test_a_small_budget_takes_smaller_tiles(info):
    sides = [
        plan.tiles(info, (900, 900), 3, threads=1, tile=None, max_memory=size << 20, best=256).tile for size in (99, 4)
    ]
    assert sides[0] == (256, 256) and sides[1] < sides[0]


def test_other_machines_and_builds_have_other_plans(info, monkeypatch):
    saved_plans.remember({saved_plans.key(info, exact=False): SavedPlan(48, 1)})
    monkeypatch.setattr(machine, "name", lambda: "another")
    assert saved_plans.find(info, exact=False) is None
    saved_plans.remember({saved_plans.key(info, exact=False): SavedPlan(64, 1)})
    monkeypatch.undo()


def test_plans_are_added(info, cache):
    for tile in (48, 96):
        saved_plans.remember({f"other{tile}": SavedPlan(tile, 1)})
    assert set(json.loads(cache.read_text("utf-8"))["plans"]) == {"other48", "other96"}


BROKEN = [
    "",
    "{",
    "[]",
    '{"version": 2, "plans": {}}',
    '{"version": 1, "plans": {"k": 1}}',
    '{"version": 1, "plans": {"k": {"tile": "x", "workers": 1, "gain": 1}}}',
]


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_file_is_no_plan(info, cache, text):
    cache.parent.mkdir(parents=True)
    cache.write_text(text.replace('"k"', json.dumps(saved_plans.key(info, False))), "utf-8")
    assert saved_plans.find(info, exact=False) is None
    saved_plans.remember({saved_plans.key(info, False): SavedPlan(48, 1)})
    assert saved_plans.find(info, exact=False) == SavedPlan(48, 1)


def test_the_command_measures_and_forgets(info, cache, capsys, monkeypatch):
    monkeypatch.setattr(tune, "_SIZE", (64, 48))
    monkeypatch.setattr(tune, "SIDES", (24, 64))
    assert main(["tune", "cvsr-small", "--seconds", "0", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)["cvsr-small_x2"]
    assert said["tile"] in (0, 24, 64) and said["gain"] >= 1
    assert saved_plans.find(info, exact=False) == SavedPlan(**said)
    assert main(["tune", "--forget"]) == 0 and not cache.exists()
    assert main(["tune", "--forget"]) == 0


def test_the_default_plan_stays_if_nothing_is_faster(info, monkeypatch):
    """A plan of tile 0 is kept, so that the same is not measured again, and changes nothing."""
    monkeypatch.setattr(tune, "_SIZE", (64, 48))
    monkeypatch.setattr(tune, "_WORTH", 1e9)
    assert tune.measured(info, 0).tile == 0
    saved_plans.remember({saved_plans.key(info, exact=False): tune.measured(info, 0)})
    assert "as measured" not in cvsr.Upscaler(info, 2).ran_on.plan


def test_what_cannot_be_tuned_is_said(capsys):
    assert main(["tune", "bicubic"]) == 2
    assert "interpolation" in capsys.readouterr().err
    assert main(["tune", "cvsr-small", "-s", "7"]) == 2
