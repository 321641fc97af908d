"""Write models/index.json from what lies in that folder: ``python -m cvsr_converters.publish.index models/``.

The facts come from the metadata inside the .onnx files, quality and use from the ``training.json`` beside them. Read
with the runtime's own reader, so that the index says what the runtime will see; needs no TensorFlow and no onnx.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path

from cvsr.errors import ModelError
from cvsr.modelfiles.onnx_reader import read_onnx
from cvsr_converters.targets import write_atomic


def entry(path, root):
    """Return the entry of index.json for one .onnx file below the folder ``root``."""
    data = path.read_bytes()
    try:
        facts = read_onnx(data).metadata
        name, scale = facts["cvsr.name"], int(facts["cvsr.scale"])
    except (ModelError, KeyError, ValueError) as error:
        raise ModelError(f"{path} is no model with metadata ({error}); write it with cvsr_converters.export") from None
    training = path.with_name("training.json")
    record = json.loads(training.read_text("utf-8")).get(path.name, {}) if training.exists() else {}
    return {
        "name": name,
        "family": name.removesuffix(f"_x{scale}"),
        "scale": scale,
        "file": path.relative_to(root).as_posix(),
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "parameters": _number(facts.get("cvsr.parameters")),
        "radius": _number(facts.get("cvsr.radius")),
        "psnr": record.get("psnr", {}),
        "use": record.get("use", ""),
    }


def _number(text):
    return int(text) if text and text.isdecimal() else None


def build(root):
    """Return the content of index.json for the folder ``root``, sorted by family and scale."""
    root = Path(root)
    entries = [entry(path, root) for path in sorted(root.rglob("*.onnx"))]
    names = [e["name"] for e in entries]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ModelError(f"several files say that they are {', '.join(twice)}; keep one of each")
    return {"version": 1, "models": sorted(entries, key=lambda e: (e["family"], e["scale"]))}


def main(argv=None):
    """Write ``index.json``; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m cvsr_converters.publish.index", description="Write index.json for a folder of models."
    )
    parser.add_argument("folder", type=Path, help="the folder that holds a folder for each family of models")
    folder = parser.parse_args(argv).folder
    try:
        index = build(folder)
    except (ModelError, OSError, json.JSONDecodeError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    write_atomic(folder / "index.json", (json.dumps(index, indent=1) + "\n").encode())
    sys.stdout.write(f"{folder / 'index.json'}: {len(index['models'])} models\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
