"""What a server allows, and the most memory that it can need for that."""

from __future__ import annotations

from dataclasses import dataclass

from cvsr.batch.memory import Budget
from cvsr.errors import OptionError
from cvsr.machine import MB, resident

CONNECTIONS = 256
"""How many may be open at a time."""
PATIENCE = 10.0
"""Seconds that a client may take over a request's head, or to make room for more of the answer."""
SLOWEST = 64 << 10
"""Bytes per second that a client must send and take on average, after PATIENCE."""
RESULT = 4
"""How many times ``pixels`` a result may have."""

_CONNECTION = 3 * MB // 8  # two buffers of the event loop, and what lies between them
_NETWORKS = 64 * MB  # what models take that are loaded on request


@dataclass(frozen=True)
class Limits:
    """What a server allows.

    ``upload``: bytes of a request's body; ``pixels``: of its picture; ``memory``: of the whole process, in bytes;
    ``timeout``: seconds of work for a picture; ``queue``: how many requests may wait, or be on their way in or out,
    beside the one that is worked on. Raise OptionError where one makes no sense.
    """

    upload: int = 32 * MB
    pixels: int = 16_000_000
    memory: int = 1024 * MB
    timeout: float = 60
    queue: int = 8

    def __post_init__(self) -> None:
        if self.upload < 1 or self.pixels < 1 or self.queue < 0 or not self.timeout > 0:
            raise OptionError("sizes and the timeout of a server must be above 0, and its queue at least 0")

    @property
    def places(self) -> int:
        """Return how many requests for pictures are let in at a time."""
        return self.queue + 1

    @property
    def reserved(self) -> int:
        """Return the bytes that all but the picture that is worked on may take: connections, uploads, networks."""
        return CONNECTIONS * _CONNECTION + (self.places + 2) * self.upload + _NETWORKS

    def budget(self) -> Budget:
        """Return what is left for the picture that is worked on, taking the process as it is now.

        memory = now + CONNECTIONS * 384 kB + (queue + 3) * upload + 64 MB + what is left. Raise OptionError if that is
        too little for the smallest picture.
        """
        base = resident() + self.reserved
        if self.memory - base < 32 * MB:
            raise OptionError(
                f"--max-memory is {self.memory // MB} MB, and {CONNECTIONS} connections, {self.places} uploads, OpenCV "
                f"and models may take {base // MB} MB: raise it, or lower --max-size or --queue"
            )
        return Budget(self.memory, base)


class Refusal(Exception):
    """An HTTP status, what happened and what to do, and headers to go with it."""

    def __init__(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(text)
        self.status, self.headers = status, headers or {}
