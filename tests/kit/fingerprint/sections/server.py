"""The server of ``cvsr serve``: its routes, results, errors, and its description of itself."""

from __future__ import annotations

import http.client
import json
import re
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np

from sections import kit

WORDS = ("description", "summary", "title")
PASSING = ("date", "cvsr-seconds", "content-length")  # headers that differ each time, or with words


def run(book: kit.Book) -> None:
    """Note answers."""
    with _serving(book, "default") as ask:
        _routes(book, ask)
        _pictures(book, ask)
        _wrong(book, ask)
    with _serving(
        book, "limited", "--max-size", "20K", "--max-pixels", "0.004", "-m", "bicubic", "--queue", "0"
    ) as ask:
        _note(book, "limited/bytes", ask("POST", "/upscale", b"x" * 30_000))
        _note(book, "limited/pixels", ask("POST", "/upscale", _png(kit.photo(width=100, height=50) // 64 * 64)))
        _note(book, "limited/fine", ask("POST", "/upscale", _png(kit.photo())))
        _note(book, "limited/result", ask("POST", "/upscale?scale=9", _png(kit.photo())))


Answer = tuple[int, dict[str, str], bytes]


@contextmanager
def _serving(book: kit.Book, name: str, *options: str) -> Generator[Any, None, None]:
    """Start a server on a free port; yield what asks it; note how it ends."""
    command = [sys.executable, "-m", "cvsr", "serve", "--port", "0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout
    found = re.search(r"http://\S+?:(\d+)", process.stdout.readline())
    book.note(f"{name}/started", bool(found))
    port = int(found[1]) if found else 0

    def ask(method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request(method, path, body, {key.replace("_", "-"): value for key, value in headers.items()})
        answer = connection.getresponse()
        result = answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read()
        connection.close()
        return result

    try:
        yield ask
    finally:
        process.send_signal(signal.SIGTERM)
        book(f"{name}/ended", process.wait, 30)


def _note(book: kit.Book, name: str, answer: Answer) -> None:
    """Note an answer: its status, its headers, and a picture's bytes, or the structure of JSON."""
    status, headers, body = answer
    kept = {key: value for key, value in headers.items() if key not in (*PASSING, "content-security-policy")}
    book.note(f"{name}/answer", [status, kept, "content-security-policy" in headers])
    if headers.get("content-type", "").startswith("application/json"):
        book.note(f"{name}/json", kit.structure(json.loads(body)))
    elif headers.get("content-type", "").startswith("image/"):
        book.note(f"{name}/bytes", kit.describe(body))
        book(f"{name}/pixels", lambda: cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_UNCHANGED))


def _routes(book: kit.Book, ask: Any) -> None:
    for path in ("/", "/models", "/health", "/openapi.json", "/viewer.js", "/serve.js", "/viewer.css", "/serve.css"):
        _note(book, path, ask("GET", path))
    for method, path in (
        ("GET", "/upscale"),
        ("GET", "/nothing"),
        ("POST", "/models"),
        ("HEAD", "/"),
        ("PUT", "/upscale"),
    ):
        _note(book, f"{method} {path}", ask(method, path))
    models = json.loads(ask("GET", "/models")[2])
    book.note("models", models | {"families": [{**each, "use": ""} for each in models["families"]]})
    health = json.loads(ask("GET", "/health")[2])
    book.note("health", {key: health[key] for key in ("status", "device", "places", "taken")})
    book("openapi", lambda: _wordless(json.loads(ask("GET", "/openapi.json")[2])))
    page = ask("GET", "/")[2].decode()
    book.note("page/files", sorted(re.findall(r'(?:src|href)="([^"#]*)"', page)))
    book.note("page/fields", sorted(re.findall(r'<(?:input|select|button)[^>]*?id="([^"]*)"', page)))


def _wordless(value: Any) -> Any:
    """Return JSON without descriptions."""
    if isinstance(value, dict):
        return {k: _wordless(each) for k, each in value.items() if not (k in WORDS and isinstance(each, str))}
    return [_wordless(each) for each in value] if isinstance(value, list) else value


def _png(image: np.ndarray, suffix: str = ".png") -> bytes:
    return cv2.imencode(suffix, image)[1].tobytes()


def _pictures(book: kit.Book, ask: Any) -> None:
    photo = kit.photo()
    bodies = {
        "png": _png(photo), "jpg": _png(photo, ".jpg"), "tiff": _png(photo, ".tiff"), "webp": _png(photo, ".webp"),
        "bmp": _png(photo, ".bmp"), "gray": _png(photo[:, :, 1]), "alpha": _png(kit.with_alpha(photo)),
        "deep": _png(kit.deep(photo)), "deep tiff": _png(kit.deep(photo), ".tiff"), "ppm": _png(photo, ".ppm"),
        "empty": b"", "words": b"no picture at all", "cut": _png(photo)[:3000],
        "float": _png(kit.floats(photo), ".tiff"),
    }  # fmt: skip
    for name, body in bodies.items():
        _note(book, f"upscale/{name}", ask("POST", "/upscale", body))
    queries = (
        "scale=1.5",
        "scale=3&model=fsrcnn",
        "format=jpg&quality=50",
        "format=webp",
        "format=tiff",
        "model=bicubic",
    )
    for query in queries:
        _note(book, f"upscale/{query}", ask("POST", f"/upscale?{query}", bodies["png"]))
    _note(book, "upscale/alpha to jpg", ask("POST", "/upscale?format=jpg", bodies["alpha"]))
    form = (
        b'--x\r\nContent-Disposition: form-data; name="%s"; filename="a.png"\r\n\r\n' + bodies["png"] + b"\r\n--x--\r\n"
    )
    for field in (b"image", b"other"):
        answer = ask("POST", "/upscale", form.replace(b"%s", field), Content_Type="multipart/form-data; boundary=x")
        _note(book, f"upscale/form {field.decode()}", answer)
    broken = ask("POST", "/upscale", b"--x", Content_Type="multipart/form-data; boundary=x")
    _note(book, "upscale/broken form", broken)


def _wrong(book: kit.Book, ask: Any) -> None:
    body = _png(kit.photo(width=16, height=16))
    for query in (
        "scale=0", "scale=-1", "scale=many", "scale=nan", "scale=65", "model=steam", "format=steam", "quality=0",
        "quality=101", "quality=x", "steam=1", "scale=2&scale=3", "model=", "format=", "quality=",
    ):  # fmt: skip
        _note(book, f"wrong/{query}", ask("POST", f"/upscale?{query}", body))
    _note(book, "wrong/host", ask("GET", "/", Host="elsewhere.example"))
    _note(book, "wrong/origin", ask("POST", "/upscale", body, Origin="http://elsewhere.example"))
    _note(book, "wrong/site", ask("POST", "/upscale", body, Sec_Fetch_Site="cross-site"))
    _note(book, "wrong/length", ask("POST", "/upscale", b"", Content_Length="999999999999"))
    _note(book, "wrong/encoding", ask("POST", "/upscale", body, Content_Encoding="gzip"))
