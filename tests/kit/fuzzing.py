"""Break the files of models, and have them read in child processes: see test_fuzz."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

CASES = int(os.environ.get("CVSR_FUZZ", "12"))
CHILD = Path(__file__).with_name("fuzz_child.py")


def mutate(data, generator):
    """Return the bytes with one thing wrong: cut off, bits or bytes changed, a number made huge, a piece twice."""
    data = bytearray(data)
    place = generator.randrange(max(1, len(data)))
    kind = generator.choice(("cut", "bits", "huge", "zeros", "twice", "text"))
    if kind == "cut":
        return bytes(data[:place])
    if kind == "twice":
        return bytes(data[:place] + data[place : place + 64] * 2 + data[place + 64 :])
    if kind == "bits":
        for _ in range(generator.choice((1, 8, 64))):
            data[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
        return bytes(data)
    piece = {"huge": b"\xff" * 8, "zeros": bytes(16), "text": b"/etc/passwd\0"}[kind]
    data[place : place + len(piece)] = piece
    return bytes(data)


def mutated(source, target, generator):
    """Copy a model to ``target``, which keeps the suffix, with one file of it mutated."""
    if source.is_dir():
        shutil.copytree(source, target)
        victim = generator.choice(sorted(path for path in target.rglob("*") if path.is_file() and path.stat().st_size))
    else:
        shutil.copy(source, target)
        victim = target
    victim.write_bytes(mutate(victim.read_bytes(), generator))
    return target


def read_in_children(paths, options):
    """Return {path: (result, said)} of all paths; a crash is a result, and the next child goes on behind it."""
    results, left = {}, list(map(str, paths))
    while left:
        command = [sys.executable, CHILD, json.dumps(options), *left]
        done = subprocess.run(command, capture_output=True, text=True, timeout=1200, check=False)
        lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"path"')]
        results |= {line["path"]: (line["result"], line["said"]) for line in lines}
        left = left[len(lines) :]
        if left:
            results[left.pop(0)] = ("crash", f"{done.returncode} {done.stderr[-300:]}")
    return results
