"""The verb ``cvsr serve``: a web page and an HTTP interface that enlarge images."""

import argparse
import logging
import os
import signal
import socket
import sys

from cvsr.errors import OptionError

DESCRIPTION = "Serve a web page and an HTTP interface (see /openapi.json) that enlarge images."
EPILOG = """examples:
  cvsr serve                                       then open http://127.0.0.1:8000/
  curl --data-binary @photo.jpg 'http://127.0.0.1:8000/upscale?scale=2' -o photo_x2.jpg
  curl -F image=@photo.jpg 'http://127.0.0.1:8000/upscale?model=cvsr-medium&format=png' -o photo_x2.png

The process stays within --max-memory: its size after the start, 384 kB for each of
256 connections, queue + 3 uploads, 64 MB for models, and the rest for the image in
progress. Requests that do not fit are refused.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``cvsr serve``."""
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on; default 127.0.0.1: this machine only")
    add("--port", type=int, default=8000, help="default 8000; 0 means any free port")
    add("--allow-host", action="append", default=[], metavar="NAME", help="a name by which a reverse proxy is known")
    add("-m", "--model", default="auto", help="the default of requests: a name or a file; default auto")
    add("-d", "--device", default="auto", help="auto, cpu, cuda, opencl, … (see cvsr doctor); default auto")
    add("--max-size", default="32M", metavar="SIZE", help="the largest upload; default 32M")
    add(
        "--max-pixels",
        type=float,
        default=16,
        metavar="MILLIONS",
        help="largest upload in megapixels, results 4 times that; default 16",
    )
    add("--max-memory", default="1G", metavar="SIZE", help="memory limit for the whole process; default 1G")
    add("--timeout", type=float, default=60, metavar="SECONDS", help="time limit for one image; default 60")
    add("--queue", type=int, default=8, metavar="N", help="requests that may wait; default 8")


def main(args: argparse.Namespace) -> int:
    """Run ``cvsr serve`` until a signal ends it, and return the exit code; raise what is wrong with the arguments."""
    pixels = round(args.max_pixels * 1e6)
    if pixels > 0:  # OpenCV's own check, read when it is loaded, after ours
        os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(pixels))
    from cvsr.options import memory_size
    from cvsr.serve.app import application, package
    from cvsr.serve.guard import is_loopback
    from cvsr.serve.limits import Limits

    uvicorn = package("uvicorn")
    from cvsr.serve.protocol import ImpatientProtocol

    limits = Limits(memory_size(args.max_size), pixels, memory_size(args.max_memory), args.timeout, args.queue)
    logging.basicConfig(level=logging.WARNING, format="cvsr: %(message)s", stream=sys.stderr)
    logging.getLogger("cvsr").setLevel(logging.ERROR)  # what is dropped from a client's image is not for this log
    with _listening(args.host, args.port) as listener:
        app = application(args.model, limits, device=args.device, host=args.host, names=args.allow_host)
        config = uvicorn.Config(
            app, http=ImpatientProtocol, ws="none", lifespan="on", log_config=None, access_log=False,
            server_header=False, proxy_headers=False, timeout_keep_alive=5, timeout_graceful_shutdown=5, backlog=512,
        )  # fmt: skip
        logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
        server = uvicorn.Server(config)

        def stop(_number: int, _frame: object) -> None:
            server.should_exit = True

        # uvicorn stops at these signals, then raises them again: a clean end would be a failure
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
        host, port = listener.getsockname()[:2]
        print(f"cvsr serve: http://{f'[{host}]' if ':' in host else host}:{port}/ (Ctrl+C stops it)", flush=True)
        if not is_loopback(args.host):
            print(
                f"cvsr serve: warning: {args.host} is open to other machines, without passwords or encryption: put a "
                "reverse proxy in front of it that has both",
                file=sys.stderr,
                flush=True,
            )
        server.run(sockets=[listener])
    return 0


def _listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens. Raise OptionError if the address is not available."""
    if not 0 <= port <= 65535:
        raise OptionError(f"--port is {port}: give a number from 1 to 65535, or 0 for any free port")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        raise OptionError(f"cannot listen on {host}:{port}: {error.strerror or error}; use another --port") from error
