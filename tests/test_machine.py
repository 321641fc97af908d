"""What the system tells of the processor, and what plans make of it."""

import pytest

from cvsr import machine
from cvsr.inference import plan
from cvsr.modelfiles import zoo


@pytest.fixture(autouse=True)
def forgotten():
    machine.cache.cache_clear()
    yield
    machine.cache.cache_clear()


@pytest.mark.parametrize(
    ("level", "size", "wanted"),
    [("2", "2048K", 2**21), ("2", "1M\n", 2**20), ("2", "512K", 2**19), ("2", "lots", 0), ("3", "2048K", 0)],
)
def test_the_second_level_cache_is_what_the_system_says(tmp_path, monkeypatch, level, size, wanted):
    for number, (where, what) in enumerate((("1", "32K"), (level, size))):
        (tmp_path / f"index{number}").mkdir()
        (tmp_path / f"index{number}" / "level").write_text(where + "\n")
        (tmp_path / f"index{number}" / "size").write_text(what)
    monkeypatch.setattr(machine, "_CACHES", tmp_path)
    assert machine.cache() == wanted


def test_without_information_from_the_system_the_cache_is_unknown(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "_CACHES", tmp_path / "none")
    assert machine.cache() == 0


def test_a_larger_cache_gives_larger_tiles(monkeypatch):
    sides = {}
    for size in (0, 2**20, 2**21, 2**22):
        monkeypatch.setattr(machine, "cache", lambda size=size: size)
        sides[size] = [plan.side(zoo.chosen(name, 2), None) for name in ("cvsr-small", "cvsr-medium", "cvsr-large")]
    assert sides[0] == sides[2**20] == [192, 160, 128]
    assert sides[2**21] == sides[2**22] == [192, 224, 192]
