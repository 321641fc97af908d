"""Requests to the server's application in this process, without a network; a skip if it cannot be imported."""

from __future__ import annotations

import warnings

import pytest

for name in ("starlette", "uvicorn", "python_multipart"):
    pytest.importorskip(name, reason="needs the extra serve")
pytest.importorskip("httpx", reason="requests without a network")

with warnings.catch_warnings():  # starlette announces the successor of httpx
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

from cvsr.serve.app import application
from cvsr.serve.limits import Limits

LIMITS = Limits(upload=2_000_000, pixels=200_000, timeout=30, queue=2)


def client_of(model: str, limits: Limits = LIMITS, **options: bool) -> TestClient:
    """Return a client of a server with this model; ``options``: those of TestClient."""
    return TestClient(application(model, limits), base_url="http://127.0.0.1", **options)
