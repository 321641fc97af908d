"""Request bodies: read within limits of size and time, and the image in them."""

import asyncio
import importlib
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from cvsr.serve.limits import PATIENCE, SLOWEST, Refusal

_FORM = 16 << 10  # bytes that a form may have around its file
_PARTS = 16  # fields that a form may have


class Incoming:
    """ASGI's ``receive`` of a request, with a flag for the end of the body."""

    def __init__(self, take: Callable[[], Awaitable[Any]]) -> None:
        self._take = take
        self.ended = False

    async def __call__(self) -> Any:
        """Return the next message."""
        message = await self._take()
        self.ended = message["type"] == "http.disconnect" or not message.get("more_body", False)
        return message


async def receive(take: Incoming, headers: Any, limit: int) -> bytearray:
    """Return a request's body, of at most ``limit`` bytes beside what a form adds.

    Raise Refusal: 413 if it is larger (at once if its Content-Length says so), 408 if it comes too slowly, 400 if the
    client disconnects.
    """
    limit += _FORM if is_form(headers) else 0
    declared = headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise _too_large(limit)
    body, start = bytearray(), time.monotonic()
    while True:
        left = start + PATIENCE + len(body) / SLOWEST - time.monotonic()
        try:
            message = await asyncio.wait_for(take(), max(left, 0.001))
        except asyncio.TimeoutError:
            raise Refusal(408, "the upload came too slowly; send it again", {"Connection": "close"}) from None
        if message["type"] == "http.disconnect":
            raise Refusal(400, "the client disconnected before its upload was complete")
        body += message.get("body", b"")
        if len(body) > limit:
            raise _too_large(limit)
        if take.ended:
            return body


async def discard(take: Incoming) -> None:
    """Read the rest of a body, for PATIENCE seconds at most, and discard it.

    For clients that want the connection closed after the response: if it is closed while they still send, it is reset,
    and they lose the response.
    """
    end = time.monotonic() + PATIENCE
    with suppress(asyncio.TimeoutError):
        while not take.ended:
            await asyncio.wait_for(take(), max(end - time.monotonic(), 0.001))


def _too_large(limit: int) -> Refusal:
    return Refusal(413, f"the upload has more than {limit} bytes; compress it better, or send a part of it")


def is_form(headers: Any) -> bool:
    """Tell whether a body is a form, as browsers and ``curl -F`` send it."""
    return headers.get("content-type", "").lower().startswith("multipart/form-data")


def picture(body: bytearray, headers: Any) -> bytearray:
    """Return the image file in a body: all of it, or the first file of a form. Raise Refusal (400) if there is none."""
    if not body:
        raise Refusal(400, "the body is empty; send the bytes of an image file")
    return _file_of_form(body, headers["content-type"]) if is_form(headers) else body


def _file_of_form(body: bytearray, content_type: str) -> bytearray:
    """Return the first part with a file name; if there is none, the first part."""
    multipart: Any = importlib.import_module("python_multipart.multipart")
    _, options = multipart.parse_options_header(content_type.encode("latin-1"))
    parts: list[tuple[bytearray, bytearray]] = []

    def begin() -> None:
        if len(parts) == _PARTS:
            raise Refusal(400, f"the form has more than {_PARTS} parts; send one file")
        parts.append((bytearray(), bytearray()))

    def header(data: bytes, start: int, end: int) -> None:
        parts[-1][0].extend(data[start:end])

    def content(data: bytes, start: int, end: int) -> None:
        parts[-1][1].extend(memoryview(data)[start:end])

    callbacks = {"on_part_begin": begin, "on_header_value": header, "on_part_data": content}
    try:
        parser = multipart.MultipartParser(options[b"boundary"], callbacks)
        view = bytes(body)
        body.clear()
        parser.write(view)
        parser.finalize()
    except (KeyError, ValueError) as error:
        raise Refusal(400, f"the form is broken ({error}); send the bytes of the file alone") from None
    files = [data for head, data in parts if b"filename" in head] or [data for _, data in parts]
    if not files or not files[0]:
        raise Refusal(400, "the form has no file; send one in the field image")
    return files[0]
