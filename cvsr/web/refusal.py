"""What a server answers instead of a picture."""

from __future__ import annotations


class Refusal(Exception):
    """An HTTP status, what happened and what to do, and headers to go with it."""

    def __init__(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(text)
        self.status, self.headers = status, headers or {}
