"""The limits of a server, and the most memory that it can need within them."""

from dataclasses import dataclass

from cvsr.batch.memory import Budget
from cvsr.errors import OptionError
from cvsr.machine import MB, resident

CONNECTIONS = 256
"""The most connections at a time."""
PATIENCE = 10.0
"""Seconds that a client may take for a request's head, or before it reads more of the response."""
SLOWEST = 64 << 10
"""Bytes per second that a client must send and read on average, after PATIENCE."""
RESULT = 4
"""How many times ``Limits.pixels`` a result may have."""

_CONNECTION = 3 * MB // 8  # two buffers of the event loop, and the data between them
_NETWORKS = 64 * MB  # models that are loaded on request


@dataclass(frozen=True)
class Limits:
    """The limits of a server.

    ``upload``: bytes of a request's body; ``pixels``: of its image; ``memory``: of the whole process, in bytes;
    ``timeout``: seconds of work for an image; ``queue``: how many requests may wait, upload or download beside the one
    in progress. Raise OptionError if one makes no sense.
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
        """Return how many requests for images are accepted at a time."""
        return self.queue + 1

    @property
    def reserved(self) -> int:
        """Return the bytes that everything but the image in progress may take: connections, uploads, networks."""
        return CONNECTIONS * _CONNECTION + (self.places + 2) * self.upload + _NETWORKS

    def budget(self) -> Budget:
        """Return the memory that is left for the image in progress, given the process as it is now.

        memory = now + CONNECTIONS * 384 kB + (queue + 3) * upload + 64 MB + the rest. Raise OptionError if the rest is
        too little for the smallest image.
        """
        base = resident() + self.reserved
        if self.memory - base < 32 * MB:
            raise OptionError(
                f"--max-memory is {self.memory // MB} MB, and {CONNECTIONS} connections, {self.places} uploads, OpenCV "
                f"and models may take {base // MB} MB: raise it, or lower --max-size or --queue"
            )
        return Budget(self.memory, base)


class Refusal(Exception):
    """An error response: HTTP status, what happened and what to do, and headers."""

    def __init__(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(text)
        self.status, self.headers = status, headers or {}
