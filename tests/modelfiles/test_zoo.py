"""Finding models: bundled, in a folder, by path."""

import json
import os

import pytest
from kit import onnxlite

import cvsr
from cvsr.errors import ModelError, ModelNotFoundError
from cvsr.modelfiles import zoo


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A folder of models with an index, first in the search."""
    import hashlib

    rows = []
    for scale in (2, 3):
        data = onnxlite.conv_chain(4, 1, scale, scale, name=f"mine_x{scale}")
        (tmp_path / f"mine_x{scale}.onnx").write_bytes(data)
        rows.append(
            {
                "name": f"mine_x{scale}", "family": "mine", "scale": scale, "file": f"mine_x{scale}.onnx",
                "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data), "parameters": 5, "psnr": {},
                "use": "tests",
            }
        )  # fmt: skip
    (tmp_path / "index.json").write_text(json.dumps({"version": 1, "models": rows}))
    monkeypatch.setenv("CVSR_MODEL_PATH", os.pathsep.join(["", str(tmp_path / "nothing"), str(tmp_path)]))
    return tmp_path


def test_a_family_has_scales_and_a_model_one(root):
    assert list(zoo.families()["mine"]) == [2, 3]
    assert [info.name for info in zoo.find("mine").values()] == ["mine_x2", "mine_x3"]
    assert list(zoo.find("mine_x3")) == [3]
    assert cvsr.Upscaler("mine", 3).info.name == "mine_x3"
    assert all(entry.intact() for entry in zoo.models() if entry.family == "mine")


def test_damage_is_found(root):
    path = root / "mine_x2.onnx"
    path.write_bytes(path.read_bytes() + b"\x00\x00")
    with pytest.raises(ModelError, match="damaged"):
        zoo.find("mine")
    path.unlink()
    with pytest.raises(ModelNotFoundError, match="reinstall cvsr"):
        zoo.find("mine")


def test_a_broken_index_names_itself(root):
    (root / "index.json").write_text("{")
    with pytest.raises(ModelError, match=r"index\.json"):
        zoo.models()


def test_folders_and_paths(root, tmp_path):
    assert list(zoo.find(str(root))) == [2, 3]
    assert list(zoo.find(root / "mine_x3.onnx")) == [3]
    (root / "again_x2.onnx").write_bytes((root / "mine_x2.onnx").read_bytes())
    with pytest.raises(ModelError, match="two models of scale 2"):
        zoo.find(root)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelNotFoundError, match="contains no"):
        zoo.find(tmp_path / "empty")


def test_bundled_models_are_what_the_index_says():
    entries = zoo.models()
    assert entries, "models are bundled"
    for entry in entries:
        assert entry.intact(), entry.name
        info = cvsr.open_model(entry.path)
        assert (info.name, info.scale, info.sha256) == (entry.name, entry.scale, entry.sha256)
        assert info.radius is not None and info.parameters == entry.parameters and entry.use
        assert set(entry.psnr) == {"Set5", "Set14"}
    assert set(zoo.families()[zoo.DEFAULT]) == {2, 3, 4}
