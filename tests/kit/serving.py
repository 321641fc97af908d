"""A server in a process of its own, for tests."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import cv2
import numpy as np


class Running:
    """A server that listens."""

    def __init__(self, process: subprocess.Popen, port: int) -> None:
        self.process, self.port = process, port
        self.url = f"http://127.0.0.1:{port}"

    def ask(self, path: str, body: bytes | None = None, timeout: float = 600):
        """Return (status, headers, body) of an answer."""
        try:
            with urlopen(Request(self.url + path, body), timeout=timeout) as answer:
                return answer.status, answer.headers, answer.read()
        except HTTPError as error:
            return error.code, error.headers, error.read()

    def connect(self, sent: bytes) -> socket.socket:
        """Return a connection on which something was sent."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=600)
        connection.sendall(sent)
        return connection

    def memory(self, what: str = "VmHWM") -> int:
        """Return the most bytes that the process has held (VmRSS: holds)."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"{what}:\s+(\d+)", status)[1]) * 1024

    def work(self) -> float:
        """Return the seconds of processors that the process has taken: they depend little on other work."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def upload(length: int, query: str = "") -> bytes:
    """Return the head of an upload."""
    return f"POST /upscale{query} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {length}\r\n\r\n".encode()


@contextmanager
def serving(*arguments: str) -> Iterator[Running]:
    """Start a server on a free port; end it, and expect it to end well."""
    command = [sys.executable, "-m", "cvsr", "serve", "--port", "0", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ)
    try:
        line = process.stdout.readline()
        found = re.search(r"http://\S+:(\d+)/", line)
        assert found, line + process.stderr.read()
        yield Running(process, int(found[1]))
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=600)
        assert process.returncode == 0 and "Traceback" not in said, said
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        process.communicate()


def encoded(image: np.ndarray, suffix: str = ".png") -> bytes:
    return cv2.imencode(suffix, image)[1].tobytes()


def decoded(data: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
