"""The tables of converters/README.md, written anew: ``python -m kit.tables PART… [--opencv VERSION,…]`` in tests/.

Parts: ``files`` (the public models in ``CVSR_DATA``), ``networks`` (small ones of every kind), ``torch`` (spandrel's
architectures, in an environment that has it). Each stands between its own markers in the page.
"""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path

from cvsr.errors import ModelError
from cvsr_converters import convert
from cvsr_converters.proof import environments

README = Path(__file__).parents[2] / "converters" / "README.md"
OPENCV = ("4.8.1.78", "4.14.0.94", "5.0.0.93")


def files():
    """Return [(path below ``models/`` of the data, options of convert)] of every public model."""
    pb = [f"{name}_x{scale}.pb" for name in ("ESPCN", "FSRCNN", "FSRCNN-small") for scale in (2, 3, 4)]
    pb += [f"LapSRN_x{scale}.pb" for scale in (2, 4, 8)]
    color = {"channels": 3}
    return [
        *((f"dnn_superres_pb/{name}", {}) for name in pb),
        *((f"tf1_checkpoint_fsrcnn/x{s}", {}) for s in (2, 3)),
        *(
            (f"keras_weights_espcn/ESPCN-x{s}.h5", {"network": "espcn", "network_options": color | {"scale": s}})
            for s in (2, 3, 4)
        ),
        *(
            (
                f"keras_weights_fsrcnn/FSRCNN-x{s}.h5",
                {"network": "fsrcnn", "network_options": color | {"scale": s, "map_activation": "last"}},
            )
            for s in (2, 3, 4)
        ),
        *(
            (f"tf2_checkpoint_espcn/x{s}", {"network": "espcn", "network_options": color | {"scale": s}})
            for s in (2, 3, 4)
        ),
        ("keras_full_h5_fast_srgan/generator.h5", {}),
        ("saved_model_srcnn/20201107_basic_4x_srcnn", {}),
        ("saved_model_srcnn/20201107_9_5_64_32_4_2x_srcnn", {}),
        *((f"tfjs_layers_esrgan_slim/x{s}", {}) for s in (2, 4)),
    ]


def files_table(root, opencv):
    """Return the Markdown table of the public models; ``root`` is the folder that ``CVSR_DATA`` names."""
    rows, columns = [], []
    for path, options in files():
        try:
            report = convert(Path(root) / "models" / path, opencv=opencv, **options)
        except ModelError as error:
            rows.append((path, {}, f"refused: {error}"))
            continue
        cells = {f"{row.runtime} {row.engine}".strip(): row for row in report.proof.rows}
        columns += [name for name in cells if name not in columns]
        facts = report.facts
        rows.append((path, cells, f"x{facts['scale']}, {facts['color']} 0..{facts['range']:g}, {facts['radius']}"))
        print(report.text(), flush=True)
    lines = [
        f"| model | scale, color, radius | {' | '.join(columns)} |",
        "|---|---|" + "---|" * len(columns),
    ]
    for path, cells, facts in rows:
        results = [_cell(cells.get(column)) for column in columns]
        lines.append(f"| {path} | {facts} | {' | '.join(results)} |")
    return "\n".join(lines)


def _cell(row):
    if row is None:
        return "–"
    return f"{row.error:.0e}" if row.result == "ok" else row.result


def networks_table(opencv):
    """Return the Markdown table of the small networks."""
    from kit import smallnets

    return smallnets.table([environments.python(version) for version in opencv])


def torch_table(opencv):
    """Return the Markdown table of spandrel's architectures."""
    from kit import spandrel_nets

    return spandrel_nets.table([environments.python(version) for version in opencv])


def write(part, text):
    """Put a table between its markers in the page."""
    page = README.read_text("utf-8")
    pattern = re.compile(rf"(<!-- {part} -->\n).*?(<!-- /{part} -->)", re.S)
    if not pattern.search(page):
        raise SystemExit(f"{README} has no markers <!-- {part} --> and <!-- /{part} -->")
    README.write_text(pattern.sub(lambda found: f"{found[1]}\n{text}\n\n{found[2]}", page), "utf-8")


def main():
    """Write the tables that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="+", choices=("files", "networks", "torch"))
    parser.add_argument("--opencv", default=",".join(OPENCV), help="versions, or paths of Pythons that have one")
    args = parser.parse_args()
    opencv = args.opencv.split(",")
    for part in args.parts:
        if part == "files":
            write(part, files_table(os.environ["CVSR_DATA"], opencv))
        else:
            write(part, {"networks": networks_table, "torch": torch_table}[part](opencv))


if __name__ == "__main__":
    main()
