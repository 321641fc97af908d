"""The server's limits of time, memory and size, and what it does at its own errors."""

from __future__ import annotations

import asyncio
import time

import numpy as np
import pytest
from kit.serving import encoded
from kit.testclient import LIMITS, application, client_of

from cvsr.errors import OptionError
from cvsr.serve import bodies, worker
from cvsr.serve.limits import Limits, Refusal


def test_work_that_takes_too_long_is_given_up(cat):
    client = client_of("cvsr-small", Limits(upload=2_000_000, timeout=1e-9))
    answer = client.post("/upscale", content=encoded(cat))
    assert answer.status_code == 504 and "1e-09 seconds" in answer.json()["error"]


def test_images_that_need_too_much_memory_are_refused_before_decoding():
    limits = Limits(upload=100_000, pixels=10**9, memory=Limits(upload=100_000).budget().base + (40 << 20))
    client = client_of("cvsr-small", limits)
    answer = client.post("/upscale?scale=1", content=encoded(np.zeros((3000, 3000), np.uint8)))
    assert answer.status_code == 413 and "MB" in answer.json()["error"]


def test_limits_that_leave_nothing_are_said_at_the_start():
    with pytest.raises(OptionError, match="--max-memory"):
        application("bilinear", Limits(memory=100 << 20))
    for limits in ({"upload": 0}, {"queue": -1}, {"timeout": 0.0}, {"pixels": 0}):
        with pytest.raises(OptionError):
            Limits(**limits)


def test_an_internal_error_is_answered_without_its_traceback(cat, monkeypatch):
    client = client_of("bilinear", raise_server_exceptions=False)
    monkeypatch.setattr(worker.reader, "decode", lambda *_: 1 / 0)
    answer = client.post("/upscale", content=encoded(cat))
    assert answer.status_code == 500 and "division" not in answer.text and answer.json()["error"]
    monkeypatch.undo()
    assert client.post("/upscale", content=encoded(cat)).status_code == 200
    assert client.get("/health").json()["taken"] == 0


def test_slow_uploads_are_cut_off(monkeypatch):
    monkeypatch.setattr(bodies, "PATIENCE", 0.2)

    async def trickle():
        await asyncio.sleep(0.15)
        return {"type": "http.request", "body": b"x", "more_body": True}

    start = time.monotonic()
    with pytest.raises(Refusal) as caught:
        asyncio.run(bodies.receive(bodies.Incoming(trickle), {}, 1000))
    assert caught.value.status == 408 and time.monotonic() - start < 10


def test_a_large_upload_is_refused_before_it_is_sent():
    async def never():
        pytest.fail("its body was asked for")

    with pytest.raises(Refusal) as caught:
        asyncio.run(bodies.receive(bodies.Incoming(never), {"content-length": "1001"}, 1000))
    assert caught.value.status == 413


def test_without_the_extra_it_says_what_to_type(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "starlette.applications", None)
    with pytest.raises(OptionError, match=r'pip install "\.\[serve\]"'):
        application("bilinear", LIMITS)
