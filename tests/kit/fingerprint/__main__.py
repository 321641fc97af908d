"""Record what cvsr does, and compare two records: nothing that a user sees may change when the code is rearranged.

python tests/kit/fingerprint record before.json        with the one cvsr on PYTHONPATH
python tests/kit/fingerprint record after.json         with the other
python tests/kit/fingerprint compare before.json after.json

A record maps names to checksums and values. Only what is public is used, and no words of messages are recorded.
Each section runs in a process of its own, so that a crash or an endless loop loses one section. The environment
variable CVSR_DATA adds models made by others, if it names the folder that has them.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

SECTIONS = {  # name: (module in sections/, seconds that it may take)
    "surface": ("surface", 120),
    "codes": ("codes", 400),
    "models": ("models", 120),
    "options": ("options", 180),
    "files": ("files", 300),
    "stacks": ("stacks", 180),
    "video": ("film", 180),
    "dask": ("chunks", 120),
    "superres": ("superres", 240),
    "reports": ("reports", 240),
    "programs": ("programs", 240),
    "server": ("server", 120),
    "convert": ("convert", 400),
    "train": ("train", 300),
}
CONSTANT = {
    "CUDA_VISIBLE_DEVICES": "",
    "COLUMNS": "200",
    "LC_ALL": "C.UTF-8",
    "OPENCV_LOG_LEVEL": "FATAL",
    "PYTHONHASHSEED": "0",
    "SOURCE_DATE_EPOCH": "0",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TZ": "UTC",
}
DROPPED = ("CVSR_MODEL_PATH", "CVSR_STRICT", "OPENCV_FORCE_DNN_ENGINE", "OPENCV_IO_MAX_IMAGE_PIXELS")


def record(path: Path, names: list[str], jobs: int) -> int:
    """Run sections, ``jobs`` at a time, and write what they found; return 1 if one did not end well."""
    found: dict[str, Any] = {}
    with ThreadPoolExecutor(jobs) as pool:
        for each in pool.map(run, names):
            found |= each
    path.write_text(json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{path}: {len(found)} values")
    return int(any(found[f"{name}/end"] != "ok" for name in names))


def run(name: str) -> dict[str, Any]:
    """Return what one section found, in a process of its own and a folder of its own."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fingerprint-") as folder:
        book, work = Path(folder, "book.jsonl"), Path(folder, "work")
        work.mkdir()
        environment = {key: value for key, value in os.environ.items() if key not in DROPPED} | CONSTANT
        environment |= {"CVSR_CACHE": str(Path(folder, "plans")), "XDG_CACHE_HOME": str(Path(folder, "cache"))}
        paths = [str(Path(path).absolute()) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
        environment["PYTHONPATH"] = os.pathsep.join(paths)
        command = [sys.executable, str(Path(__file__).absolute()), "section", name, str(book)]
        # a session of its own: what the section has started ends with it
        process = subprocess.Popen(command, cwd=work, env=environment, start_new_session=True)
        try:
            code = process.wait(SECTIONS[name][1])
            end = "ok" if code == 0 else f"exit {code}"
        except subprocess.TimeoutExpired:
            end = "timeout"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        print(f"{name}: {end}, {time.monotonic() - begun:.0f} s", flush=True)
        lines = book.read_text(encoding="utf-8").splitlines() if book.exists() else []
        return dict(json.loads(line) for line in lines) | {f"{name}/end": end}


def section(name: str, path: Path) -> int:
    """Be the process of a section."""
    sys.path.insert(0, str(Path(__file__).parent))
    kit = importlib.import_module("sections.kit")
    with path.open("a", encoding="utf-8") as stream:
        importlib.import_module(f"sections.{SECTIONS[name][0]}").run(kit.Book(name, stream))
    return 0


def compare(first: Path, second: Path, names: list[str]) -> int:
    """Print what differs between two records, and return whether anything does."""
    before, after = (json.loads(path.read_text(encoding="utf-8")) for path in (first, second))
    keys = [key for key in sorted(before | after) if key.partition("/")[0] in names]
    missing = object()
    different = [key for key in keys if before.get(key, missing) != after.get(key, missing)]
    for key in different:
        print(key)
        for sign, values in (("-", before), ("+", after)):
            print(f"  {sign} {json.dumps(values[key], ensure_ascii=False) if key in values else '(not there)'}")
    print(f"{len(different)} of {len(keys)} values differ")
    return int(bool(different))


def main() -> int:
    """Run the command line and return the exit code: 1 if something differs, or a section did not end well."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, paths in (("record", ["out"]), ("compare", ["first", "second"])):
        command = verbs.add_parser(verb)
        for path in paths:
            command.add_argument(path, type=Path)
        if verb == "record":
            command.add_argument("--jobs", type=int, default=2, help="how many sections to run at a time; default 2")
        command.add_argument("--only", action="append", choices=list(SECTIONS), help="may be given several times")
    child = verbs.add_parser("section")
    child.add_argument("name")
    child.add_argument("book", type=Path)
    args = parser.parse_args()
    if args.verb == "section":
        return section(args.name, args.book)
    names = args.only or list(SECTIONS)
    return record(args.out, names, args.jobs) if args.verb == "record" else compare(args.first, args.second, names)


if __name__ == "__main__":
    sys.exit(main())
