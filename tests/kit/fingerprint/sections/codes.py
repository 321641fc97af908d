"""Exit codes of ``cvsr`` and of the converters' programs, for right and wrong uses."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from sections import kit


def run(book: kit.Book) -> None:
    """Note exit codes, whether something was printed to standard output, and which files came."""
    cv2.imwrite("a.png", kit.photo())
    cv2.imwrite("deep.png", kit.deep(kit.photo()))
    cv2.imwrite("alpha.png", kit.with_alpha(kit.photo()))
    Path("broken.png").write_bytes(b"nothing")
    Path("broken.onnx").write_bytes(b"nothing")
    Path("folder").mkdir()
    Path("a.py").write_text("print(1)\n")
    for number, line in enumerate(USES.strip().splitlines(), 1):
        before = kit.tree(Path())
        done = kit.cvsr(*line.split())
        after = kit.tree(Path())
        new = sorted(set(after) - set(before))
        book.note(f"{number} {line}", [done.returncode, bool(done.stdout), bool(done.stderr), new])
    for line in PROGRAMS.strip().splitlines():
        done = kit.python("-m", *line.split())
        book.note(line, [done.returncode, bool(done.stdout), bool(done.stderr)])
    book("no arguments", kit.code)
    book("a file that cannot be written", kit.code, "upscale", "a.png", "-o", "/dev/null/a.png", "-m", "nearest")
    np.save("a.npy", kit.photo())
    book("no image file", kit.code, "upscale", "a.npy", "-m", "nearest")


USES = """
--version
--help
steam
--steam
upscale
upscale a.png -m nearest
upscale a.png -m nearest
upscale a.png -m nearest --overwrite
upscale missing.png
upscale broken.png
upscale a.png broken.png -m nearest -o both/
upscale folder
upscale a.png -s 0
upscale a.png -s -1
upscale a.png -s many
upscale a.png -s 1000
upscale a.png -s 2 --size 9x9
upscale a.png --size 9
upscale a.png --size 0x9
upscale a.png --size 9x9 -m nearest
upscale a.png -m steam
upscale a.png -m broken.onnx
upscale a.png -m missing.onnx
upscale a.png -d abacus
upscale a.png -d cuda
upscale a.png -d cpu -m nearest -s 3
upscale a.png --quality 0
upscale a.png --quality 101
upscale a.png --format steam
upscale a.png --max-memory much
upscale a.png --max-memory 1
upscale a.png --effort some
upscale a.png --effort fast --exact
upscale a.png --steam
upscale a.png -o a.png
upscale a.png -o folder -m nearest
upscale a.png deep.png -o b.png
upscale a.png -o b.steam
upscale alpha.png -o b.jpg -m nearest
upscale deep.png -o b.jpg -m nearest
upscale *.gif
upscale a.png --scheduler nowhere
models
models --steam
models more
doctor --steam
bench steam
bench --against steam
bench --size 9
bench --rounds 0 --size 64x48
compare
compare missing.png
compare a.png -m steam
compare a.png -o a.png
compare a.png --plot a.gif
compare a.png -s 0
eval
eval cvsr-small
eval cvsr-small --data missing
eval cvsr-small --data folder
eval steam --data folder
eval cvsr-small --data folder --protocol steam
frames
frames 10
frames ten ten
frames 10 10
migrate
migrate a.py
migrate missing.py
serve --port steam
serve --port 99999
serve --max-size much
serve --max-memory 1M
serve -m steam
tune steam
tune bicubic
tune --forget
video
video a.png
video missing.mp4 b.mp4
video a.png b.mp4
video missing.mp4 b.steam
watch
watch folder
watch missing -o out
watch folder -o out --once
watch folder -o out --once --poll never
convert
"""

PROGRAMS = """
cvsr_converters.train
cvsr_converters.train --help
cvsr_converters.train steam
cvsr_converters.export
cvsr_converters.export --help
cvsr_converters.export missing -o a_x2.onnx
cvsr_converters.export missing -o a.onnx
"""
