"""A crowd at the server's door: many at a time, with bombs, broken files and slow clients among them."""

from __future__ import annotations

import asyncio
import json
import random
import struct
import sys
import time
import zlib
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest

for name in ("starlette", "uvicorn", "python_multipart"):
    pytest.importorskip(name, reason="needs the extra serve")

from kit.processes import wait_for
from kit.serving import serving, upload

import cvsr
from cvsr.serve.limits import CONNECTIONS, PATIENCE, Limits

MB = 1 << 20
MEMORY, UPLOAD, PIXELS, QUEUE = 512, 4, 2, 8  # MB, MB, millions, requests
SLOW = 12
LIMITS = ["--max-memory", f"{MEMORY}M", "--max-size", f"{UPLOAD}M", "--max-pixels", str(PIXELS), "--queue", str(QUEUE)]

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a process's memory is read from /proc")


def encoded(image: np.ndarray, suffix: str = ".png", *parameters: int) -> bytes:
    return cv2.imencode(suffix, image, parameters)[1].tobytes()


def png(width: int, height: int, depth: int = 8, color: int = 2, extra: bytes = b"") -> bytes:
    """Return a PNG that is a small part of what it claims to hold, and black."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    channels = {0: 1, 2: 3, 6: 4}[color]
    squeeze, row = zlib.compressobj(1), bytes(1 + min(width, 30_000) * channels * depth // 8)
    pixels = b"".join(squeeze.compress(row) for _ in range(min(height, 2000))) + squeeze.flush()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def profile_bomb() -> bytes:
    data = b"icc\0\0" + zlib.compress(bytes(200 * MB), 1)
    return struct.pack(">I", len(data)) + b"iCCP" + data + struct.pack(">I", zlib.crc32(b"iCCP" + data))


@pytest.fixture(scope="module")
def bad() -> list[tuple[bytes, set[int]]]:
    """Bad uploads, each with the statuses that may answer it."""
    noise = np.random.default_rng(0).integers(0, 256, (500, 500, 3), np.uint8)
    huge = bytearray(encoded(noise[:16, :16], ".jpg"))
    at = huge.index(b"\xff\xc0") + 5
    huge[at : at + 4] = struct.pack(">HH", 65500, 65500)
    progressive = encoded(noise[:64, :64], ".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    scan = progressive[progressive.rindex(b"\xff\xda") : -2]
    return [
        (png(30_000, 30_000), {413}),
        (png(1 << 31, 1 << 31), {413}),
        (bytes(huge), {413}),
        (progressive[:-2] + scan * 3000 + b"\xff\xd9", {422}),
        (png(200, 200, extra=profile_bomb()), {200, 422}),
        (b"II*\0" + struct.pack("<IH", 8, 3) + b"".join(
            struct.pack("<HHII", tag, 4, 1, value) for tag, value in ((256, 10), (257, 10), (322, 30_000))
        ) + bytes(4), {422}),
        (encoded(noise)[:-400_000], {422}),
        (encoded(noise, ".webp")[:5000], {422}),
        (b"\x89PNG\r\n\x1a\n" + noise.tobytes(), {422}),
        (noise.tobytes(), {415}),
        (bytes(UPLOAD * MB + 1), {413}),
        (b"", {400}),
        (b"GIF89a" + bytes(100), {415}),
    ]  # fmt: skip


async def ask(port: int, body: bytes, query: str) -> tuple[int, dict[bytes, bytes], bytes]:
    """Send an upload and return (status, headers, body) of its answer, whenever that comes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:

        async def send() -> None:
            with suppress(ConnectionError):  # it need not take the rest of what it has refused
                writer.write(upload(len(body), query) + body)
                await writer.drain()

        sending = asyncio.ensure_future(send())
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.strip().split(b"\r\n")
        headers = {key.lower(): value.strip() for key, _, value in (line.partition(b":") for line in lines)}
        answer = await reader.readexactly(int(headers[b"content-length"]))
        sending.cancel()
        return int(first.split()[1]), headers, answer
    finally:
        writer.close()


async def insist(port: int, body: bytes, query: str, end: float) -> tuple[int, bytes]:
    """Retry after a while if the queue is full."""
    while True:
        status, headers, answer = await ask(port, body, query)
        if status != 503:
            return status, answer
        assert int(headers[b"retry-after"]) >= 1 and json.loads(answer)["error"]
        assert time.monotonic() < end, "no place for it to the end"
        await asyncio.sleep(random.uniform(0.2, 2))


async def dawdle(port: int, kind: int) -> None:
    """Send next to nothing, now and then, until cut off."""
    sent = [b"POST /upscale HTTP/1.1\r\nX: ", upload(UPLOAD * MB), b""][kind % 3]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    start = time.monotonic()
    with suppress(ConnectionError):
        writer.write(sent)
        ended = asyncio.ensure_future(reader.read())
        while not ended.done() and time.monotonic() - start < PATIENCE + 300:
            await asyncio.wait({ended}, timeout=1)
            writer.write(b"x" if sent else b"")
            await writer.drain()
        await ended
    assert time.monotonic() - start < PATIENCE + 300, f"a slow client of kind {kind % 3} is never cut off"
    writer.close()


async def crowd(
    port: int, size: int, good: bytes, bad: list[tuple[bytes, set[int]]], query: str
) -> list[tuple[int, bytes]]:
    """Send many uploads at once, every other one bad, beside slow clients; return the answers to the good ones."""
    end = time.monotonic() + 1500
    slow = [asyncio.ensure_future(dawdle(port, kind)) for kind in range(SLOW)]
    uploads = [good if i % 2 else bad[i // 2 % len(bad)][0] for i in range(size)]
    answers = await asyncio.gather(*(insist(port, body, query, end) for body in uploads))
    for i, (status, answer) in enumerate(answers):
        if i % 2 == 0:
            assert status in bad[i // 2 % len(bad)][1], (i // 2 % len(bad), status, answer[:300])
            assert status == 200 or set(json.loads(answer)) == {"error"}
    await asyncio.gather(*slow)
    return [answer for i, answer in enumerate(answers) if i % 2]


@pytest.mark.parametrize("size", [60, pytest.param(200, marks=pytest.mark.long)])
def test_many_at_once_are_served_within_the_bound(bad, size):
    image = np.random.default_rng(4).integers(0, 256, (120, 160, 3), np.uint8)
    expected = cvsr.upscale(image, 2)
    with serving(*LIMITS) as server:
        for _ in range(2):
            start = time.monotonic()
            answers = asyncio.run(crowd(server.port, size, encoded(image), bad, "?scale=2"))
            print(f"a crowd in {time.monotonic() - start:.0f} s, peak {server.memory() / MB:.0f} MB")
            assert {status for status, _ in answers} == {200} and len(answers) == size // 2
            (only,) = {answer for _, answer in answers}
            np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(only, np.uint8), cv2.IMREAD_COLOR), expected)
        assert json.loads(server.ask("/health")[2])["taken"] == 0
        print(f"peak: {server.memory() / MB:.0f} MB of {MEMORY} MB, now {server.memory('VmRSS') / MB:.0f} MB")
        assert server.memory() <= MEMORY * MB


@pytest.mark.parametrize("kind", ["color", "gray", "16 bits and alpha", "JPEG", "progressive JPEG", "WebP", "TIFF"])
def test_the_largest_pictures_that_are_taken_stay_within_the_bound(kind):
    """As large as the limits of pixels or memory let them be: what is not refused must fit."""
    chance = np.random.default_rng(4)
    peaks = {}
    with serving(*LIMITS, "--max-size", "24M", "--queue", "0") as server:
        for side in (1400, 1000):
            shape = {"gray": (side, side), "16 bits and alpha": (side, side, 4)}.get(kind, (side, side, 3))
            image = chance.integers(0, 256, shape, np.uint8)
            if kind == "16 bits and alpha":
                image = image.astype(np.uint16) * 257
            options = (cv2.IMWRITE_JPEG_PROGRESSIVE, 1) if kind == "progressive JPEG" else ()
            suffix = ".webp" if kind == "WebP" else ".tiff" if kind == "TIFF" else ".jpg" if "JPEG" in kind else ".png"
            for query in ("?scale=2", "?scale=1.9&model=bicubic&format=webp", "?scale=2&model=bicubic&format=png"):
                status, _, answer = server.ask("/upscale" + query, encoded(image, suffix, *options))
                assert status in (200, 413, 422), answer[:300]
                peaks[side, query] = status, server.memory() // MB
        print(peaks)
        assert 200 in {status for status, _ in peaks.values()}
        # there are hardly any connections, and one model: what is kept for more of them is not used
        idle = Limits(upload=24 * MB, queue=0).reserved - 3 * 24 * MB
        assert server.memory() <= MEMORY * MB - idle


def answers(server) -> bool:
    with suppress(OSError):
        return server.ask("/health")[0] == 200
    return False


def test_more_connections_than_there_may_be_are_sent_away():
    with serving("-m", "bilinear") as server:
        crowd = [server.connect(b"") for _ in range(CONNECTIONS)]
        status = server.connect(b"").recv(1000)
        assert status.startswith(b"HTTP/1.1 503") and b"Retry-After" in status
        for connection in crowd:
            connection.close()
        wait_for(lambda: answers(server), server.process)
        crowd = [server.connect(b"") for _ in range(CONNECTIONS)]
        assert server.connect(b"").recv(1000).startswith(b"HTTP/1.1 503")
        wait_for(lambda: answers(server), server.process)  # those that say nothing are cut off


def test_scales_and_models_of_all_kinds_leave_nothing_behind():
    image = encoded(np.zeros((20, 20, 3), np.uint8))
    with serving(*LIMITS) as server:
        names = json.loads(server.ask("/models")[2])["names"]
        threads, peaks = [], []
        for _ in range(2):
            for i in range(60):
                assert server.ask(f"/upscale?scale={1 + i / 50}&model={names[i % len(names)]}", image)[0] == 200
            threads.append(len(list(Path(f"/proc/{server.process.pid}/task").iterdir())))
            peaks.append(server.memory() // MB)
        assert threads[1] <= threads[0] + 8 and peaks[1] <= peaks[0] + 16, (threads, peaks)
