"""Find models: bundled ones, folders and files."""

import functools
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from cvsr.errors import ModelError, ModelNotFoundError, OptionError
from cvsr.image import interpolation
from cvsr.modelfiles.info import ModelInfo, open_model

DEFAULT = "cvsr-small"
"""The family for model="auto": the fastest; all families are better than interpolation."""


@dataclass(frozen=True)
class Entry:
    """A bundled model, from models/index.json. ``psnr``: of luma in dB, by test set; ``use``: its purpose."""

    name: str
    family: str
    scale: int
    path: Path
    sha256: str
    bytes: int
    parameters: int | None
    psnr: dict[str, float]
    use: str

    def intact(self) -> bool:
        """Return whether the file exists and matches its checksum."""
        return self.path.is_file() and hashlib.sha256(self.path.read_bytes()).hexdigest() == self.sha256


def roots() -> list[Path]:
    """Return the folders of models, by priority: $CVSR_MODEL_PATH, the package's, an uninstalled checkout's."""
    here = Path(__file__).resolve().parents[1]  # of the package cvsr
    places = [Path(p) for p in os.environ.get("CVSR_MODEL_PATH", "").split(os.pathsep) if p]
    places += [here / "models", here.parent / "models"]
    return [place for place in places if (place / "index.json").is_file()]


def _entries(root: Path) -> list[Entry]:
    try:
        rows = cast("list[dict[str, Any]]", json.loads((root / "index.json").read_text(encoding="utf-8"))["models"])
        return [
            Entry(
                row["name"], row["family"], int(row["scale"]), root / row["file"], row["sha256"], int(row["bytes"]),
                row.get("parameters"), row.get("psnr") or {}, row.get("use", ""),
            )
            for row in rows
        ]  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{root / 'index.json'} is broken ({error!r}): reinstall cvsr, or repair the file") from error


def models() -> list[Entry]:
    """Return all indexed models, smallest first; for equal names, the one in the first root."""
    found: dict[str, Entry] = {}
    for root in roots():
        for entry in _entries(root):
            found.setdefault(entry.name, entry)
    return sorted(found.values(), key=lambda entry: (entry.parameters or 0, entry.family, entry.scale))


def families() -> dict[str, dict[int, Entry]]:
    """Return the indexed models as {family: {scale: entry}}."""
    result: dict[str, dict[int, Entry]] = {}
    for entry in models():
        result.setdefault(entry.family, {})[entry.scale] = entry
    return result


def find(model: str | os.PathLike[str] | ModelInfo) -> dict[int, ModelInfo]:
    """Return the networks of a model by scale: a family has several, a file one.

    ``model``: "auto", a family ("cvsr-small"), one model ("cvsr-small_x2"), an interpolation ("bicubic"), the path of
    an .onnx or .pb file or of a folder of them, or facts from :func:`cvsr.open_model`. Raises ModelNotFoundError.
    """
    if isinstance(model, ModelInfo):
        return {model.scale: model}
    name = os.fspath(model)
    if name in interpolation.METHODS:
        facts = info(name)
        return {facts.scale: facts}
    known = families()
    chosen = known.get(DEFAULT if name == "auto" else name)
    if chosen:
        return {scale: _open(entry) for scale, entry in sorted(chosen.items())}
    for entry in (entry for family in known.values() for entry in family.values()):
        if entry.name == name:
            return {entry.scale: _open(entry)}
    if Path(name).is_dir():
        return _folder(Path(name))
    if Path(name).suffix.lower() in (".onnx", ".pb") or Path(name).is_file():
        facts = open_model(name)
        return {facts.scale: facts}
    choices = ", ".join([*known, *interpolation.METHODS])
    raise ModelNotFoundError(
        f"no model is called {name!r}, and there is no such file or folder: use one of {choices}, or the path of an "
        ".onnx or .pb file"
    )


def chosen(model: str | os.PathLike[str] | ModelInfo, scale: int | None = None) -> ModelInfo:
    """Return a model's network for a scale, by default 2 or a file's own. Raises OptionError."""
    infos = find(model)
    wanted = scale or (next(iter(infos)) if len(infos) == 1 else 2)
    if wanted not in infos:
        raise OptionError(f"{model} has no network for -s {wanted}: its scales are {', '.join(map(str, infos))}")
    return infos[wanted]


@functools.lru_cache(maxsize=64)
def _read(path: Path, _stamp: tuple[int, int]) -> ModelInfo:
    return open_model(path)


def _open(entry: Entry) -> ModelInfo:
    """Return the facts of a bundled model, checked against the index; read once for each state of the file."""
    try:
        state = entry.path.stat()
    except OSError as error:
        raise ModelNotFoundError(f"the index lists {entry.path}, which does not exist: reinstall cvsr") from error
    facts = _read(entry.path, (state.st_mtime_ns, state.st_size))
    if facts.sha256 != entry.sha256:
        raise ModelError(f"{entry.path} is damaged: its checksum differs from index.json. Reinstall cvsr.")
    return facts


def _folder(folder: Path) -> dict[int, ModelInfo]:
    found: dict[int, ModelInfo] = {}
    for path in sorted(p for p in folder.iterdir() if p.suffix.lower() in (".onnx", ".pb")):
        facts = open_model(path)
        if facts.scale in found:
            raise ModelError(
                f"{folder} contains two models of scale {facts.scale}, {found[facts.scale].name} and {facts.name}: "
                "pass one of the files"
            )
        found[facts.scale] = facts
    if not found:
        raise ModelNotFoundError(f"the folder {folder} contains no .onnx or .pb model")
    return dict(sorted(found.items()))


def info(name: str) -> ModelInfo:
    """Return the facts of an interpolation; its scale, 1, is nominal."""
    return ModelInfo(name=name, scale=1, format="interpolation", color="bgr")
