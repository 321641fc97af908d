"""The server as a process: how it starts and ends, who is let in, and who is cut off."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import cv2
import numpy as np
import pytest

for name in ("starlette", "uvicorn", "python_multipart"):
    pytest.importorskip(name, reason="needs the extra serve")

from kit.serving import serving, upload

import cvsr
from cvsr.serve.limits import PATIENCE

NOISE = np.random.default_rng(1).integers(0, 256, (700, 700, 3), np.uint8)
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a process's work is read from /proc")
SLOW = "?model=cvsr-large&scale=2"  # seconds for NOISE


@pytest.fixture(scope="module")
def server():
    with serving("--queue", "1", "--timeout", "3000") as server:
        yield server


def encoded(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()


def wait(server, taken: int, seconds: float = 600) -> float:
    """Wait until this many places in the queue are taken; return the seconds that took."""
    start = time.monotonic()
    while json.loads(server.ask("/health")[2])["taken"] != taken:
        assert time.monotonic() - start < seconds, f"not {taken} places within {seconds} seconds"
        time.sleep(0.05)
    return time.monotonic() - start


def test_pictures_over_the_network_are_the_librarys(server):
    small = NOISE[:90, :120]
    status, headers, body = server.ask("/upscale?scale=3", encoded(small))
    assert status == 200 and headers["Content-Type"] == "image/png"
    result = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(result, cvsr.upscale(small, 3))


def test_a_full_queue_is_answered_with_a_time_to_retry(server):
    picture = encoded(NOISE)
    working = [server.connect(upload(len(picture), SLOW) + picture) for _ in range(2)]
    wait(server, 2)
    status, headers, body = server.ask("/upscale", picture)
    assert status == 503 and int(headers["Retry-After"]) >= 1 and "queue is full" in json.loads(body)["error"]
    for connection in working:
        connection.close()
    wait(server, 0)


def work_of_a_ninth(server) -> float:
    """Return the work that NOISE takes: the images whose work is given up are nine times as large."""
    before = server.work()
    assert server.ask("/upscale" + SLOW, encoded(NOISE))[0] == 200
    return server.work() - before


@LINUX
def test_work_is_given_up_when_the_client_leaves(server):
    ninth = work_of_a_ninth(server)
    picture = encoded(np.tile(NOISE, (3, 3, 1)))
    connection = server.connect(upload(len(picture), SLOW) + picture)
    wait(server, 1)
    time.sleep(2)
    assert json.loads(server.ask("/health")[2])["taken"] == 1
    connection.close()
    before = server.work()
    wait(server, 0)
    assert server.work() - before < 3 * ninth
    assert server.ask("/upscale", encoded(NOISE[:20, :20]))[0] == 200


def cut_off_after(connection: socket.socket, seconds: float, **sending) -> tuple[bytes, float]:
    """Send a byte now and then; return what came back, and when the connection was closed."""
    start, answer = time.monotonic(), b""
    connection.settimeout(0.5)
    while time.monotonic() - start < seconds:
        try:
            if sending.get("byte"):
                connection.sendall(sending["byte"])
            piece = connection.recv(65536)
            if not piece:
                break
            answer += piece
        except TimeoutError:
            continue
        except OSError:
            break
    return answer, time.monotonic() - start


def test_slow_clients_are_cut_off_and_others_are_served(server):
    ways = {
        "says nothing": (b"", b""),
        "never ends its head": (b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ", b"a"),
        "never ends its body": (upload(1_000_000) + b"\x89PNG", b"a"),
        "asks once and stays": (b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b""),
    }
    results: dict[str, tuple[bytes, float]] = {}

    def play(name: str) -> None:
        sent, byte = ways[name]
        results[name] = cut_off_after(server.connect(sent), PATIENCE + 120, byte=byte)

    threads = [threading.Thread(target=play, args=(name,)) for name in ways]
    for thread in threads:
        thread.start()
    assert server.ask("/health")[0] == 200
    for thread in threads:
        thread.join()
    for name, (_, seconds) in results.items():
        assert seconds < PATIENCE + 110, name
    assert b" 408 " in results["never ends its body"][0].split(b"\r\n")[0]
    assert results["asks once and stays"][0].startswith(b"HTTP/1.1 200")
    wait(server, 0)


def test_a_client_that_does_not_read_its_answer_is_cut_off(server):
    picture = encoded(NOISE)  # its result is larger than what lies in the buffers of two sockets
    query = "?model=bilinear&scale=4"
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", server.port))
    connection.sendall(upload(len(picture), query) + picture)
    wait(server, 1)
    assert wait(server, 0) > PATIENCE / 2
    connection.close()


def test_a_refused_upload_is_answered_before_the_connection_closes(server):
    """The upload is still on its way: if the server closed at once, the connection would be reset."""
    head = upload(40 << 20).replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    connection = server.connect(head + bytes(40 << 20))
    answer, _ = cut_off_after(connection, 120)
    assert answer.startswith(b"HTTP/1.1 413")


def test_requests_that_are_not_http_are_answered_in_json(server):
    answer, _ = cut_off_after(server.connect(b"\x16\x03\x01 hello\r\n\r\n"), 120)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b" 400 " in head.split(b"\r\n")[0] and json.loads(body)["error"]


@LINUX
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_it_well_even_at_work(number):
    picture = encoded(np.tile(NOISE, (3, 3, 1)))
    with serving("--timeout", "3000") as server:
        ninth, others = work_of_a_ninth(server), sum(os.times()[2:4])
        connection = server.connect(upload(len(picture), SLOW) + picture)
        wait(server, 1)
        server.process.send_signal(number)
        server.process.wait(600)
        assert sum(os.times()[2:4]) - others < 5 * ninth, "of ten: the whole process, with the first ninth"
        connection.close()


def run(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "cvsr", "serve", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)


def test_what_is_wrong_with_its_arguments_is_said(server):
    for arguments, words in (
        (["--port", str(server.port)], "--port"),
        (["--port", "99999"], "--port"),
        (["--port", "0", "--max-memory", "1M"], "--max-memory"),
        (["--port", "0", "--max-size", "-3"], "bytes"),
        (["--port", "0", "-m", "nothing"], "nothing"),
    ):
        done = run(*arguments)
        assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr, arguments


def test_other_hosts_are_warned_of():
    with serving("--host", "0.0.0.0", "-m", "bilinear") as server:
        assert server.ask("/health")[0] == 200
        server.process.send_signal(signal.SIGTERM)
        assert "warning: 0.0.0.0 is open to other machines" in server.process.stderr.read()
