"""Measure all models and their peers for the table and the plot: ``python -m cvsr_converters.publish.survey models/``.

Quality and size are measured of what is new or has changed; times only where ``--python`` names interpreters, each with
an OpenCV of its own. Results are kept in ``survey.json``; the table in ``README.md`` and ``survey.png`` are made of it.
"""

import argparse
import functools
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from cvsr import open_model
from cvsr_converters import export
from cvsr_converters.publish import cost
from cvsr_converters.targets import write_atomic

SETS = ("Set5", "Set14")
SIZE = (640, 360)
BEGIN, END = "<!-- table of survey.py -->", "<!-- end of the table -->"

TIMING = """
import json, statistics, sys, time
import numpy as np, cv2, cvsr
path, scale, width, height = sys.argv[1], *map(int, sys.argv[2:])
image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
if path.startswith("dnn_superres:"):
    net = cv2.dnn_superres.DnnSuperResImpl_create()
    path = path.split(":", 1)[1]
    net.readModel(path)
    net.setModel(path.replace("\\\\", "/").split("/")[-1].split("_")[0].split("-")[0].lower(), scale)
    run = net.upsample
else:
    run = cvsr.Upscaler(path, scale)
run(image)
begun, times = time.perf_counter(), []
while len(times) < 5 or (time.perf_counter() - begun < 3 and len(times) < 40):
    start = time.perf_counter()
    run(image)
    times.append(time.perf_counter() - start)
print(json.dumps([cv2.__version__, 1000 * statistics.median(times)]))
"""

# Set5 / Set14 in dB, as the papers have them: trained on other, mostly larger sets, and at their own widths and depths
PAPERS = {
    ("srcnn", 2): (36.66, 32.45), ("srcnn", 3): (32.75, 29.30), ("srcnn", 4): (30.49, 27.50),
    ("fsrcnn", 2): (37.00, 32.63), ("fsrcnn", 3): (33.16, 29.43), ("fsrcnn", 4): (30.71, 27.59),
    ("espcn", 3): (33.13, 29.49), ("espcn", 4): (30.90, 27.73),
    ("vdsr", 2): (37.53, 33.03), ("vdsr", 3): (33.66, 29.77), ("vdsr", 4): (31.35, 28.01),
    ("drcn", 2): (37.63, 33.04), ("drrn", 2): (37.74, 33.23),
    ("lapsrn", 2): (37.52, 33.08), ("lapsrn", 4): (31.54, 28.19),
    ("srresnet", 4): (32.05, 28.49), ("srgan", 4): (29.40, 26.02), ("srdensenet", 4): (32.02, 28.50),
    ("edsr", 2): (38.11, 33.92), ("mdsr", 2): (38.11, 33.85), ("mdsr", 3): (34.66, 30.44), ("mdsr", 4): (32.50, 28.72),
    ("rdn", 2): (38.24, 34.01), ("carn", 2): (37.76, 33.52), ("carn-m", 2): (37.53, 33.26), ("msrn", 2): (38.08, 33.74),
}  # fmt: skip


def rivals(scale):
    """Return {name: what Upscaler or dnn_superres take} of what people use instead."""
    found = {name: name for name in ("nearest", "bilinear", "bicubic", "lanczos")}
    folder = Path(os.environ.get("CVSR_DATA", "")) / "models" / "dnn_superres_pb"
    return found | {f"OpenCV's {path.name}": str(path) for path in sorted(folder.glob(f"*_x{scale}.pb"))}


def measured(what, scale):
    """Return the quality and the size of one model: a path, or the name of an interpolation."""
    row = export.quality(what, scale, [Path(os.environ["CVSR_DATA"]) / "images" / name for name in SETS])
    if Path(what).is_file():
        data, info = Path(what).read_bytes(), open_model(what)
        row |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        if info.format == "onnx":
            row |= {"parameters": info.parameters, "multiplications": round(cost.multiplications(data, scale))}
    return row


@functools.lru_cache
def version(python):
    """Return the version of the OpenCV that an interpreter has."""
    command = [python, "-c", "import cv2; print(cv2.__version__)"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def timed(what, scale, python):
    """Return (OpenCV's version, milliseconds for an image of SIZE) in another interpreter, or None where it fails."""
    root = Path(__file__).resolve().parents[3]
    env = os.environ | {"PYTHONPATH": str(root)}
    command = [python, "-c", TIMING, what, str(scale), *map(str, SIZE)]
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None


def survey(root, pythons=()):
    """Return {scale: {name: row}} of all models in ``root`` and their rivals, measuring what is not known yet."""
    root = Path(root)
    book = root / "survey.json"
    known = json.loads(book.read_text("utf-8")) if book.exists() else {}
    result = {}
    for scale in (2, 3, 4):
        entries = json.loads((root / "index.json").read_text("utf-8"))["models"]
        ours = {entry["name"]: str(root / entry["file"]) for entry in entries if entry["scale"] == scale}
        rows = result[str(scale)] = {}
        for name, what in (rivals(scale) | ours).items():
            row: dict[str, Any] = known.get(str(scale), {}).get(name, {})
            digest = hashlib.sha256(Path(what).read_bytes()).hexdigest() if Path(what).is_file() else None
            if not row or row.get("sha256") != digest:
                row = measured(what, scale)
            for python in pythons if set(row.get("milliseconds", {})) < set(map(version, pythons)) else ():
                way = f"dnn_superres:{what}" if what.endswith(".pb") else what
                if took := timed(way, scale, python):
                    row.setdefault("milliseconds", {})[took[0]] = round(took[1], 1)
            rows[name] = row
            kept = result | {other: found | result.get(other, {}) for other, found in known.items()}
            write_atomic(book, (json.dumps(kept, indent=1) + "\n").encode())  # of an hour's work nothing is lost
    write_atomic(book, (json.dumps(result, indent=1) + "\n").encode())
    return result


def _versions(result):
    """Return the OpenCVs in which times were taken."""
    return sorted({v for rows in result.values() for row in rows.values() for v in row.get("milliseconds", {})})


def table(result):
    """Return the survey as Markdown."""
    versions = _versions(result)
    heads = ["model", *(f"{name} PSNR / SSIM" for name in SETS), "paper", "parameters", "MACs/px"]
    heads += [f"ms, {version}" for version in versions] + ["KB"]
    lines = []
    for scale, rows in result.items():
        lines += [f"### x{scale}", "", "| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
        for name, row in sorted(rows.items(), key=lambda item: item[1]["psnr"][SETS[0]]):
            paper = PAPERS.get((name.rsplit("_x", 1)[0], int(scale)))
            cells = [name, *(f"{row['psnr'][s]:.2f} / {row['ssim'][s]:.4f}" for s in SETS)]
            cells += ["{:.2f} / {:.2f}".format(*paper) if paper else ""]
            cells += [f"{row[key]:,}" if row.get(key) else "" for key in ("parameters", "multiplications")]
            cells += [f"{row['milliseconds'][v]:g}" if v in row.get("milliseconds", {}) else "" for v in versions]
            cells += [f"{row['bytes'] / 1000:.0f}" if "bytes" in row else ""]
            lines.append("| " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)


def plot(result, version, path):
    """Draw PSNR on Set5 against the time on one version, a panel for each scale, with the front that nobody beats."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(result), figsize=(5 * len(result), 4.5), constrained_layout=True)
    for panel, (scale, rows) in zip(panels, result.items(), strict=True):
        points = sorted(
            (row["milliseconds"][version], row["psnr"][SETS[0]], name)
            for name, row in rows.items()
            if version in row.get("milliseconds", {})
        )
        front = [p for i, p in enumerate(points) if all(p[1] > q[1] for q in points[:i])]
        panel.step([p[0] for p in front], [p[1] for p in front], where="post", color="tab:blue", alpha=0.4)
        for ms, psnr, name in points:
            ours = f"_x{scale}" in name and not name.startswith("OpenCV")
            panel.plot(ms, psnr, "o" if ours else "x", color="tab:blue" if ours else "tab:gray", markersize=5)
            label = name.removeprefix("OpenCV's ").removesuffix(f"_x{scale}")
            panel.annotate(label, (ms, psnr), xytext=(4, -3), textcoords="offset points", fontsize=6)
        panel.set(xscale="log", xlabel=f"ms for 640x360, OpenCV {version}", title=f"x{scale}")
    panels[0].set_ylabel("PSNR on Set5, dB")
    figure.savefig(path, dpi=110)


def main(argv=None):
    """Measure what is new, write ``survey.json``, the table and the plot; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m cvsr_converters.publish.survey",
        description="Measure all models and their rivals; write the table and the plot.",
    )
    parser.add_argument("models", type=Path)
    parser.add_argument(
        "--python", action="append", default=[], help="an interpreter to take times in; may be repeated"
    )
    args = parser.parse_args(argv)
    if not (Path(os.environ.get("CVSR_DATA", "")) / "images" / SETS[0]).is_dir():
        print("survey: set CVSR_DATA to the folder that holds images/Set5 and images/Set14", file=sys.stderr)
        return 2
    result = survey(args.models, args.python)
    page = args.models / "README.md"
    before, rest = page.read_text("utf-8").split(BEGIN)
    text = f"{before}{BEGIN}\n\n{table(result)}\n{END}{rest.split(END)[1]}"
    write_atomic(page, text.encode())
    if versions := _versions(result):
        plot(result, versions[0], args.models / "survey.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
