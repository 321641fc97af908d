"""The server's routes: the web page, ``POST /upscale``, and facts for programs. Needs the extra ``serve``."""

import copy
import functools
import importlib
import json
import logging
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from cvsr import __version__
from cvsr._cv2 import cv2
from cvsr.compare.page import text
from cvsr.errors import CvsrError, OptionError, install_hint
from cvsr.io import formats
from cvsr.modelfiles import zoo
from cvsr.options import LARGEST, Options, checked_scale
from cvsr.serve import bodies
from cvsr.serve.guard import Guard
from cvsr.serve.limits import PATIENCE, SLOWEST, Limits, Refusal
from cvsr.serve.queue import RequestQueue, Slot
from cvsr.serve.worker import Encoded, Worker, models

log = logging.getLogger("cvsr")

_CHUNK = 64 << 10
_ASSETS = {
    "viewer.js": "text/javascript",
    "serve.js": "text/javascript",
    "viewer.css": "text/css",
    "serve.css": "text/css",
}


def package(name: str) -> Any:
    """Return a module of the extra ``serve``. Raise OptionError, with the command to type, if it is missing."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise OptionError(f"the server needs Starlette and uvicorn ({error}): {install_hint('serve')}") from error


def application(
    model: str = "auto",
    limits: Limits | None = None,
    *,
    device: str = "auto",
    host: str = "127.0.0.1",
    names: Sequence[str] = (),
) -> Any:
    """Return the ASGI application, warmed up. It answers requests for ``host``, its address, and ``names``.

    ``model`` is the default of requests: a name, or a path. Raise OptionError, ModelError, DeviceError.
    """
    package("python_multipart")
    server = Server(zoo.DEFAULT if model == "auto" else model, limits or Limits(), device)
    starlette, routing = package("starlette.applications"), package("starlette.routing")
    routes = [
        routing.Route("/", server.page),
        routing.Route("/upscale", server.upscale, methods=["POST"]),
        routing.Route("/models", server.models),
        routing.Route("/health", server.health),
        routing.Route("/openapi.json", server.openapi),
        *(routing.Route(f"/{name}", functools.partial(server.asset, name)) for name in _ASSETS),
    ]
    errors = package("starlette.exceptions")
    handlers = {Refusal: server.refused, errors.HTTPException: server.refused, Exception: server.failed}
    made = starlette.Starlette(routes=routes, exception_handlers=handlers, lifespan=server.lifespan)
    return Guard(made, host, names)


class Server:
    """Answers requests."""

    def __init__(self, model: str, limits: Limits, device: str) -> None:
        self.limits = limits
        self.names = models(model)
        self.default = next(name for name, path in self.names.items() if path == model)
        self.worker = Worker(limits, self.names, device)
        self.device = self.worker.warmup(self.default)
        self.queue = RequestQueue(limits, self.worker)
        self._responses = package("starlette.responses")

    @asynccontextmanager
    async def lifespan(self, _app: Any) -> AsyncGenerator[None, None]:
        """Stop the worker when the server stops."""
        try:
            yield
        finally:
            self.queue.close()

    async def page(self, _request: Any) -> Any:
        """Answer with the web page."""
        accept = ",".join(format.media_type for format in formats.accepted())
        page = text("serve.html", "serve").replace("{{version}}", __version__).replace("{{accept}}", accept)
        return self._responses.HTMLResponse(page)

    async def asset(self, name: str, _request: Any) -> Any:
        """Answer with a file that the page uses, one of those in the routes."""
        return self._responses.Response(
            text(name, "serve" if name.startswith("serve") else "compare"), media_type=_ASSETS[name]
        )

    async def models(self, _request: Any) -> Any:
        """Answer with the models, and which of them is the default."""
        families = [
            {"name": family, "scales": sorted(entries), "parameters": {s: e.parameters for s, e in entries.items()},
             "use": next(iter(entries.values())).use}
            for family, entries in zoo.families().items()
        ]  # fmt: skip
        return self._json({"default": self.default, "names": list(self.names), "families": families})

    async def health(self, _request: Any) -> Any:
        """Answer with the server's state and load."""
        facts = {"status": "ok", "version": __version__, "opencv": str(cv2.__version__), "device": self.device}
        return self._json(facts | {"places": self.limits.places, "taken": self.queue.taken})

    async def openapi(self, _request: Any) -> Any:
        """Answer with the OpenAPI description of this interface."""
        return self._json(described(list(self.names), self.default, self.limits))

    async def upscale(self, request: Any) -> Any:
        """Answer with the picture in the request's body, enlarged."""
        incoming = bodies.Incoming(request.receive)
        try:
            return await self._upscaled(request, incoming)
        except Refusal:
            if request.headers.get("connection", "").lower() == "close" and "expect" not in request.headers:
                await bodies.discard(incoming)
            raise

    async def _upscaled(self, request: Any, incoming: bodies.Incoming) -> Any:
        wanted = self._options(request.query_params)
        slot = self.queue.enter()
        try:
            body = await bodies.receive(incoming, request.headers, self.limits.upload)
            data = bodies.picture(body, request.headers)
            del body
            result = await self.queue.work(slot, data, wanted, incoming())
            if result is None:
                raise Refusal(400, "the client disconnected before its image was ready")
        except BaseException:
            slot.release()
            raise
        return _Answer(result, slot)

    def _options(self, query: Any) -> Options:
        unknown = set(query) - {"scale", "model", "format", "quality"}
        if unknown:
            raise Refusal(400, f"unknown parameter {min(unknown)!r}; use scale, model, format and quality")
        if len(query.multi_items()) > len(query):
            raise Refusal(400, "a parameter is given twice; give each once")
        model, format, quality = query.get("model", self.default), query.get("format", ""), query.get("quality")
        if model not in self.names:
            raise Refusal(400, f"no model is called {model[:80]!r}; use one of {', '.join(self.names)}")
        if "format" in query and format not in formats.offered():
            raise Refusal(400, f"results are written as {', '.join(formats.offered())}, not as {format[:80]!r}")
        if quality is not None and not (quality.isascii() and quality.isdecimal() and 1 <= int(quality[:9]) <= 100):
            raise Refusal(400, f"quality is {quality[:80]!r}; give a number from 1 to 100")
        try:
            scale = checked_scale(float(query.get("scale", "2")))
        except ValueError:
            raise Refusal(
                400, f"scale is {query['scale'][:80]!r}; give a number above 0 and at most {LARGEST}"
            ) from None
        return Options(model, scale, format=format or None, quality=int(quality) if quality else None)

    async def refused(self, _request: Any, error: Any) -> Any:
        """Answer with what is wrong with a request."""
        status = error.status if isinstance(error, Refusal) else error.status_code
        what = str(error) if isinstance(error, Refusal) else error.detail
        return self._json({"error": what}, status, error.headers)

    async def failed(self, _request: Any, error: Exception) -> Any:
        """Answer that the server failed; the reason is for its log."""
        log.error("a request failed", exc_info=error)
        what = str(error) if isinstance(error, CvsrError) else "the server failed; see its log"
        return self._json({"error": what}, 500)

    def _json(self, content: object, status: int = 200, headers: dict[str, str] | None = None) -> Any:
        return self._responses.JSONResponse(content, status, headers)


class _Answer:
    """Sends a result in pieces, as fast as the client reads them; then releases the slot."""

    def __init__(self, result: Encoded, slot: Slot) -> None:
        self._result, self._slot = result, slot

    async def __call__(self, _scope: Any, _receive: Any, send: Any) -> None:
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self._headers()})
            start, sent = time.monotonic(), 0
            while sent < self._result.bytes:
                # the protocol disconnects clients that read nothing for PATIENCE seconds; this is for slow ones
                if time.monotonic() - start > PATIENCE + sent / SLOWEST:
                    return
                piece = self._result.stream.read(_CHUNK)
                sent += len(piece)
                await send({"type": "http.response.body", "body": piece, "more_body": sent < self._result.bytes})
        finally:
            self._result.stream.close()
            self._slot.release()

    def _headers(self) -> list[tuple[bytes, bytes]]:
        result = self._result
        headers = {
            "content-type": formats.FORMATS[result.format].media_type,
            "content-length": str(result.bytes),
            "content-disposition": f'attachment; filename="upscaled.{result.format}"',
            "cache-control": "no-store",
            "cvsr-model": result.model,
            "cvsr-seconds": f"{result.seconds:.3f}",
            "cvsr-size": f"{result.width}x{result.height}",
        }
        return [(name.encode(), value.encode("ascii", "replace")) for name, value in headers.items()]


def described(names: list[str], default: str, limits: Limits) -> dict[str, Any]:
    """Return the OpenAPI document of a server: the one of this package, with the server's names and limits."""
    document: dict[str, Any] = copy.deepcopy(json.loads(text("openapi.json", "serve")))
    document["info"]["version"] = __version__
    operation = document["paths"]["/upscale"]["post"]
    schemas = {parameter["name"]: parameter["schema"] for parameter in operation["parameters"]}
    schemas["model"] |= {"enum": names, "default": default}
    schemas["format"]["enum"] = list(formats.offered())
    schemas["scale"]["maximum"] = LARGEST
    binary = {"schema": {"type": "string", "format": "binary"}}
    operation["responses"]["200"]["content"] = {known.media_type: binary for known in formats.offered().values()}
    operation["description"] = operation["description"].format(
        formats=formats.listed(formats.accepted()),
        upload=limits.upload,
        pixels=limits.pixels,
        timeout=f"{limits.timeout:g}",
    )
    return document
