"""The process behind `sclgan serve`: a socket, the opened runs, uvicorn."""

import errno
import ipaddress
import logging
import socket
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from sclgan import models
from sclgan.runs.opened import open_run
from sclgan.serving.app import application
from sclgan.serving.drawing import Served
from sclgan.serving.limits import Limits

log = logging.getLogger(__name__)

KEEP_ALIVE, LAST_ANSWERS = 20, 5  # seconds: of an idle connection, and for requests that are open when the server ends
HEADER_SIZE = 16_384  # bytes of the first line and the headers of a request


def serve(runs: Sequence[Path], *, checkpoint: str, host: str, port: int, limits: Limits) -> None:
    """Serves runs and models until the process is told to end.

    Raises:
        FileNotFoundError: a folder is no run, or has no such checkpoint.
        ValueError: files of a run are damaged, or the host and port cannot be listened on.
    """
    folders = [models.find_run(run) for run in runs]
    with listening(host, port) as own:
        names = names_of(runs)
        opened = [open_run(folder, checkpoint, images=False) for folder in folders]
        served = [Served.of(name, run) for name, run in zip(names, opened, strict=True)]
        local = is_loopback(host)
        if not local:
            log.warning(
                "anyone who reaches %s on the network can use this server, without a password; "
                "without --host it listens on this machine alone",
                host,
            )
        app = application(served, limits, known_hosts(host) if local else None)
        shown = f"[{host}]" if ":" in host else host
        log.info("%s on http://%s:%d (Ctrl+C ends it)", ", ".join(names), shown, own.getsockname()[1])
        config = uvicorn.Config(
            app,
            http="h11",
            ws="none",
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=LAST_ANSWERS,
            h11_max_incomplete_event_size=HEADER_SIZE,
        )
        uvicorn.Server(config).run(sockets=[own])


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens on the first address of the host; port 0 is any free one.

    Raises:
        ValueError: the host is none of this machine, or the port is in use or not for this user.
    """
    if not 0 <= port <= 65535:
        raise ValueError(f"--port must be from 0 (any free port) to 65535, not {port}")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise ValueError(f"--host {host} is not an address of this machine: leave it out, or give 0.0.0.0") from error
    own = socket.socket(family, kind, protocol)
    try:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        own.bind(address)
        own.listen(socket.SOMAXCONN)
    except OSError as error:
        own.close()
        if error.errno == errno.EADDRINUSE:
            raise ValueError(f"port {port} is in use: give another --port, or --port 0 for any free one") from error
        raise ValueError(f"cannot listen on port {port} of {host}: {error.strerror}; give other ones") from error
    return own


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def known_hosts(host: str) -> set[str]:
    """The names by which this machine reaches itself."""
    return {"localhost", "127.0.0.1", "[::1]", f"[{host}]" if ":" in host else host.lower()}


def names_of(runs: Sequence[Path]) -> list[str]:
    """The last part of each path or name; one that comes again gets a number: "scl", "scl (2)"."""
    names: list[str] = []
    for run in runs:
        last = name = (run.resolve() if run.name in ("", "..") else run).name
        number = 1
        while name in names:
            number += 1
            name = f"{last} ({number})"
        names.append(name)
    return names
