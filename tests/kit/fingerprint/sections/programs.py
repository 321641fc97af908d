"""The verbs ``migrate``, ``compare`` and ``watch``."""

from __future__ import annotations

import base64
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2

from sections import kit

SCRIPTS = {
    "import.py": "import cv2\n\nsr = cv2.dnn_superres.DnnSuperResImpl_create()\nsr.readModel('a.pb')\n",
    "from.py": "from cv2 import dnn_superres\nsr = dnn_superres.DnnSuperResImpl_create()\n",
    "from several.py": "from cv2 import dnn_superres, imread\nprint(imread)\nsr = dnn_superres.DnnSuperResImpl()\n",
    "as.py": "import cv2 as cv\nfrom cv2 import dnn_superres as super\nsr = cv.dnn_superres.DnnSuperResImpl.create()\n",
    "nothing.py": "import cv2\nprint(cv2.__version__)\n",
    "windows.py": "import cv2\r\nsr = cv2.dnn_superres.DnnSuperResImpl_create()\r\n",
    "string.py": "import cv2\nname = 'cv2.dnn_superres'\nsr = getattr(cv2, 'dnn_superres')\n",
    "documented.py": '"""What it is for."""\nfrom __future__ import annotations\nimport cv2\nx = cv2.dnn_superres\n',
    "broken.py": "import cv2\nsr = cv2.dnn_superres.(\n",
    "latin.py": "# coding: latin-1\nimport cv2\nprint('\u00e9', cv2.dnn_superres)\n",
}


def run(book: kit.Book) -> None:
    """Note results."""
    Path("scripts").mkdir()  # not the working directory, where Python would import them
    for name, text in SCRIPTS.items():
        path = Path("scripts", name.replace(" ", "_"))
        path.write_bytes(text.encode("latin-1"))
        done = kit.cvsr("migrate", path)
        book.note(f"migrate/{name}/shown", [done.returncode, kit.describe(done.stdout), len(done.stderr.splitlines())])
        book(f"migrate/{name}/code", kit.code, "migrate", "--write", path)
        book(f"migrate/{name}/after", lambda path=path: path.read_bytes().decode("latin-1"))
        book(f"migrate/{name}/again", kit.code, "migrate", path)
    _compare(book)
    _watch(book)


def _compare(book: kit.Book) -> None:
    cv2.imwrite("small.png", kit.photo(width=60, height=50))
    cv2.imwrite("large.png", kit.photo(width=130, height=91))
    cv2.imwrite("gray.png", kit.gray(width=60, height=50))
    models = ("-m", "cvsr-small", "espcn", "nearest")
    for name, options in {
        "image": ("small.png", *models), "gray": ("gray.png", *models), "x3": ("small.png", "-s", "3", *models),
        "x1.5": ("small.png", "-s", "1.5", "-m", "cvsr-small"), "reference": ("--reference", "large.png", *models),
        "all": ("small.png", "-s", "4"), "sizes": ("small.png", "--reference", "large.png", *models),
        "plot": ("--reference", "large.png", *models, "--plot", "plot.png"),
    }.items():  # fmt: skip
        page = Path(f"{name}.html")
        book(f"compare/{name}/code", kit.code, "compare", *options, "-o", page)
        if page.exists():
            _page(book, f"compare/{name}", page.read_text(encoding="utf-8"))
    book("compare/existing", kit.code, "compare", "small.png", *models, "-o", "image.html")
    book("compare/beside", kit.code, "compare", "small.png", "-m", "nearest")
    book("compare/files", kit.tree, Path())
    book("compare/plot/size", lambda: cv2.imread("plot.png").shape)


def _page(book: kit.Book, name: str, text: str) -> None:
    shown = re.findall(r'<img[^>]*?alt="([^"]*)"[^>]*?src="data:([^;]+);base64,([^"]+)"', text)
    book.note(f"{name}/pictures", [[alt, kind, kit.checksum(base64.b64decode(data))] for alt, kind, data in shown])
    book.note(f"{name}/measured", re.findall(r"[\d.]+ dB", text))
    book.note(f"{name}/rows", len(re.findall(r"<tr>", text)))
    book.note(f"{name}/elsewhere", re.findall(r'(?:src|href)="(?!data:|#)([^"]*)"', text))


def _watch(book: kit.Book) -> None:
    Path("inbox/below").mkdir(parents=True)
    cv2.imwrite("inbox/a.png", kit.photo())
    cv2.imwrite("inbox/below/b.jpg", kit.photo())
    Path("inbox/broken.png").write_bytes(b"none")
    Path("inbox/notes.txt").write_bytes(b"none")
    once = ("watch", "inbox", "--once", "--settle", "0.2", "--poll", "0.2", "-m", "bilinear", "-s", "3", "--exact")
    for number in (1, 2):
        book(f"watch/once/{number}", kit.code, *once, "-o", "once")
        book(f"watch/once/{number}/names", kit.tree, Path("once"))
    book("watch/recursive", kit.code, *once, "-o", "deep", "-r", "--format", "webp")
    book("watch/recursive/names", kit.tree, Path("deep"))
    book("watch/a", Path("once/a_x3.png").read_bytes)
    command = [sys.executable, "-m", "cvsr", "watch", "inbox", "-o", "live", "--settle", "0.2", "--poll", "0.2"]
    with subprocess.Popen(
        [*command, "-m", "bilinear"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        _appears(Path("live/a_x2.png"))
        cv2.imwrite("later.png", kit.photo("coffee"))
        Path("later.png").replace("inbox/later.png")
        _appears(Path("live/later_x2.png"))
        process.send_signal(signal.SIGTERM)
        book("watch/live/code", process.wait, 30)
    book("watch/live/names", kit.tree, Path("live"))
    book("watch/live/later", Path("live/later_x2.png").read_bytes)


def _appears(path: Path, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not path.exists() and time.monotonic() < end:
        time.sleep(0.1)
