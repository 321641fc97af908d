"""HTTP with time limits for slow clients: uvicorn's protocol with timers. Needs the extra ``serve``.

uvicorn waits without limit for a request's head, and for a client to read a response. Here both end after PATIENCE.
"""

import json
from typing import Any

from cvsr.serve.app import package
from cvsr.serve.limits import CONNECTIONS, PATIENCE

_h11: Any = package("uvicorn.protocols.http.h11_impl")


def _answer(status: str, text: str, headers: str = "") -> bytes:
    body = json.dumps({"error": text})
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{headers}"
        f"Connection: close\r\n\r\n{body}"
    ).encode()


_FULL = _answer("503 Service Unavailable", "too many connections; try again in a moment", "Retry-After: 5\r\n")
_BROKEN = _answer("400 Bad Request", "not an HTTP request; see /openapi.json")


class ImpatientProtocol(_h11.H11Protocol):  # pyright: ignore[reportUntypedBaseClass]
    """One connection. It is closed if no request begins, or a response is not read, within PATIENCE seconds."""

    _timers: dict[str, Any]

    def connection_made(self, transport: Any) -> None:
        """Start to wait for a request; refuse a connection beyond the limit."""
        self._timers = {}
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS:
            transport.write(_FULL)
            transport.close()
        else:
            self._wait("request")

    def data_received(self, data: bytes) -> None:
        """Take data; stop waiting if a request has begun."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop("request")

    def on_response_complete(self) -> None:
        """Wait for the next request, or for the rest of a body that is not read."""
        self._wait("request")
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Wait for the client to read what was sent."""
        super().pause_writing()
        self._wait("answer")

    def resume_writing(self) -> None:
        """Stop waiting: the client has read some."""
        super().resume_writing()
        self._stop("answer")

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all timers."""
        for what in list(self._timers):
            self._stop(what)
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP."""
        self.transport.write(_BROKEN)
        self.transport.close()

    def _wait(self, what: str) -> None:
        self._stop(what)
        self._timers[what] = self.loop.call_later(PATIENCE, self.transport.abort)

    def _stop(self, what: str) -> None:
        timer = self._timers.pop(what, None)
        if timer is not None:
            timer.cancel()
