"""What every request passes before the routes: host, size, time, number; and the headers of every answer."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any

from sclgan.serving.limits import Limits

log = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGI = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-store",
}
_PAIRS = [(name.encode(), value.encode()) for name, value in HEADERS.items()]


class Guard:
    """ASGI middleware. It reads the whole body, at most `limits.body_size` bytes, before the routes see the request.

    `hosts` are the names that a request may call the server by, or None for any. A page elsewhere whose own name was
    made to point at this machine (DNS rebinding) can then not use a server that listens on loopback.

    Sets `deadline` in the request's state: the time of the event loop at which it must be answered.
    """

    def __init__(self, app: ASGI, *, limits: Limits, hosts: Collection[str] | None) -> None:
        self.app, self.limits, self.hosts = app, limits, hosts
        self.num_open = 0

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message = {**message, "headers": [*message.get("headers", []), *_PAIRS]}
            await send(message)

        self.num_open += 1
        try:
            await self._checked(scope, receive, send_with_headers)
        except Exception:
            log.exception("a request failed")
            if not started:
                await _refuse(send_with_headers, 500, "The server failed to answer; its log says why.")
        finally:
            self.num_open -= 1

    async def _checked(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        deadline = asyncio.get_running_loop().time() + self.limits.deadline
        scope.setdefault("state", {})["deadline"] = deadline
        given = dict(scope["headers"])
        if self.num_open > self.limits.open_requests:
            await _refuse(send, 503, "The server has too many requests: try again in 1 s.", retry_after=1)
            return
        if self.hosts is not None and _name(given.get(b"host", b"")) not in self.hosts:
            names = ", ".join(sorted(self.hosts))
            await _refuse(send, 421, f"This server answers to {names} alone; `--host` makes it answer to others.")
            return
        too_long = f"The body is longer than {self.limits.body_size} bytes, the most that this server reads."
        if int(given.get(b"content-length", b"0")) > self.limits.body_size:
            await _refuse(send, 413, too_long)
            return
        body = bytearray()
        try:
            async with asyncio.timeout_at(deadline):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return
                    body += message.get("body", b"")
                    if len(body) > self.limits.body_size:
                        await _refuse(send, 413, too_long)
                        return
                    if not message.get("more_body", False):
                        break
        except TimeoutError:
            await _refuse(send, 408, f"The body did not arrive within {self.limits.deadline:g} s.")
            return
        await self.app(scope, _first({"type": "http.request", "body": bytes(body)}, receive), send)


def _first(message: Message, receive: Receive) -> Receive:
    """A channel with one message before the others."""
    given = [message]

    async def receive_next() -> Message:
        return given.pop() if given else await receive()

    return receive_next


def _name(host: bytes) -> str:
    """The Host header without its port, in lower case."""
    text = host.decode("latin-1").strip().lower()
    return text.partition("]")[0] + "]" if text.startswith("[") else text.partition(":")[0]


async def _refuse(send: Send, status: int, sentence: str, *, retry_after: int | None = None) -> None:
    """Answers with one sentence and closes the connection: the rest of a request may not have been read."""
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    if retry_after is not None:
        headers.append((b"retry-after", str(retry_after).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps({"detail": sentence}).encode()})
