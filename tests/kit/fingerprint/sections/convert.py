"""``cvsr_converters.convert`` and ``cvsr convert``: files from models in memory, of Keras, TFLite and TensorFlow."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from sections import kit, nets

PUBLIC = {
    "tf1_checkpoint_fsrcnn/x2": {},
    "keras_weights_espcn/ESPCN-x2.h5": {"network": "espcn", "network_options": {"channels": 3, "scale": 2}},
    "tfjs_layers_esrgan_slim/x2": {},
    "onnx_fixed_superres/super_resolution.onnx": {},
}


def run(book: kit.Book) -> None:
    """Note the files, what they say of themselves, and the outcome of their proofs."""
    nets.quiet()
    models = {name: nets.luma(name, 2) for name in ("espcn", "srcnn", "fsrcnn")} | {"color": nets.color()}
    for name, model in models.items():
        options = {"range": 1} | ({"scale": 2} if name == "srcnn" else {})
        for target in ("onnx", "pb", "standalone"):
            _note(book, f"memory/{name}/{target}", model, target, **options)
    _note(book, "memory/espcn/half", models["espcn"], "onnx", range=1, half=True)
    _note(book, "memory/color/bgr", models["color"], "onnx", range=255, color="bgr", mean=(1, 2, 3))
    paths = _sources(models)
    for name, path in paths.items():
        _note(book, f"file/{name}", path, "onnx", range=1)
    _wrong(book, models, paths)
    _verb(book, paths)
    _data(book)


def _note(book: kit.Book, name: str, source: Any, target: str, **options: Any) -> None:
    from cvsr_converters import convert

    out = Path("made", name.replace("/", "_") + (".pb" if target == "pb" else ".onnx"))
    out.parent.mkdir(exist_ok=True)
    found: list[Any] = []
    book(f"{name}/made", lambda: found.append(convert(source, out, to=target, **options)))
    if not found:
        return
    made = found[0]
    book.note(f"{name}/ok", [type(made).__name__, made.ok])
    book.note(f"{name}/target", [made.target, len(made.notes)])
    book.note(f"{name}/facts", kit.describe(made.facts))
    book.note(f"{name}/proof", [[row.engine, row.result] for row in made.proof.rows])
    if out.exists():
        _inspect(book, name, out)


def _inspect(book: kit.Book, name: str, path: Path) -> None:
    import cvsr

    book(f"{name}/bytes", path.read_bytes)
    if path.suffix == ".onnx":
        book(f"{name}/parts", _parts, path)
        book(f"{name}/open_model", cvsr.open_model, path)
        book(f"{name}/picture", lambda: cvsr.Upscaler(path, threads=1)(kit.photo()))


def _parts(path: Path) -> dict[str, Any]:
    """Return what an ONNX file is made of, to tell what has changed in it."""
    import onnx

    model = onnx.load(path)
    return {
        "nodes": [node.op_type for node in model.graph.node],
        "names": kit.checksum(json.dumps([[*node.input, *node.output] for node in model.graph.node]).encode()),
        "weights": kit.checksum(b"".join(weight.SerializeToString() for weight in model.graph.initializer)),
        "facts": {entry.key: entry.value for entry in model.metadata_props},
        "opset": [[each.domain, each.version] for each in model.opset_import],
        "producer": [model.producer_name, model.ir_version],
    }


def _sources(models: dict[str, Any]) -> dict[str, Path]:
    import tensorflow as tf

    made = {"color.keras": Path("color_x2.keras"), "fsrcnn.h5": Path("fsrcnn_x2.h5")}
    models["color"].save(made["color.keras"])
    models["fsrcnn"].save(made["fsrcnn.h5"])
    made["color saved"] = Path("color_saved_x2")
    nets.color(2, "nearest").export(made["color saved"], format="tf_saved_model", verbose=False)
    made["espcn tflite"] = Path("espcn_x2.tflite")
    made["espcn tflite"].write_bytes(tf.lite.TFLiteConverter.from_keras_model(models["espcn"]).convert())
    made["onnx again"] = Path("made/memory_color_onnx.onnx")
    made["frozen"] = Path("made/memory_espcn_pb.pb")
    return made


def _wrong(book: kit.Book, models: dict[str, Any], paths: dict[str, Path]) -> None:
    from cvsr_converters import convert

    Path("words.onnx").write_text("no model")
    Path("cut.tflite").write_bytes(paths["espcn tflite"].read_bytes()[:900])
    espcn = models["espcn"]
    for name, (source, out, options) in {
        "target": (espcn, "a.onnx", {"to": "steam"}), "suffix": (espcn, "a.pb", {"to": "onnx"}),
        "missing": ("missing.h5", "a.onnx", {}), "words": ("words.onnx", "a.onnx", {}),
        "cut": ("cut.tflite", "a.onnx", {}),
        "color": (espcn, "a.onnx", {"color": "rgb"}), "scale": (espcn, "a.onnx", {"scale": 5}),
        "no scale": (models["srcnn"], "a.onnx", {}), "folder": (espcn, "made", {}),
    }.items():  # fmt: skip
        book(f"wrong/{name}", lambda source=source, out=out, options=options: convert(source, out, **options))
    book("wrong/left", lambda: [name for name in kit.tree(Path()) if name.startswith("a.")])


def _verb(book: kit.Book, paths: dict[str, Path]) -> None:
    kit.installed()
    source = paths["color.keras"]
    book("verb/code", kit.code, "convert", source, "-o", "verb.onnx", "--range", "1", "--report", "report.json")
    if Path("verb.onnx").exists():
        book("verb/bytes", Path("verb.onnx").read_bytes)
    book("verb/report", lambda: kit.structure(json.loads(Path("report.json").read_text())))
    book("verb/missing", kit.code, "convert", "missing.keras", "-o", "b.onnx")
    book("verb/suffix", kit.code, "convert", source, "-o", "b.xyz")
    book("verb/no output", kit.code, "convert", source)


def _data(book: kit.Book) -> None:
    """Convert the models of others, of formats that TensorFlow of today cannot write."""
    folder = os.environ.get("CVSR_DATA")
    book.note("data", "there" if folder else "CVSR_DATA is not set")
    for name, options in PUBLIC.items() if folder else ():
        _note(book, f"data/{name}", Path(folder or "", "models", name), "onnx", **options)
