"""The queue before the model: its bound, its order, the deadline of a request, and clients that hang up."""

import asyncio
import json
import socket
import threading
from contextlib import contextmanager

import pytest

pytest.importorskip("fastapi")

from sclgan.serving import drawing
from sclgan.serving.app import application
from sclgan.serving.drawing import Served
from sclgan.serving.limits import Limits
from sclgan.serving.queue import ModelQueue, QueueFullError
from served import APPLE, client, listening, untrained

DRAW = {"run": "run", "caption": APPLE}


@contextmanager
def queue_of(length):
    made = ModelQueue(length)
    try:
        yield made
    finally:
        made.close()


async def until(condition):
    """Waits for what another task or thread brings about; a test that waits in vain fails."""
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.001)


class Gate:
    """Work that begins and then waits to be let through."""

    def __init__(self):
        self.begun, self.open = threading.Event(), threading.Event()

    def __call__(self, *_, **__):
        self.begun.set()
        assert self.open.wait(60)
        return [b"png"]


def test_work_is_done_one_at_a_time_in_order_and_its_errors_arrive():
    done, threads = [], set()

    def work(number):
        threads.add(threading.current_thread().name)
        done.append(number)
        if number == 2:
            raise ValueError("two")
        return number

    async def main(queue):
        return await asyncio.gather(*(queue.run(lambda n=n: work(n)) for n in range(5)), return_exceptions=True)

    with queue_of(5) as queue:
        results = asyncio.run(main(queue))
    assert done == [0, 1, 2, 3, 4]
    assert threads == {"model"}
    assert [str(result) for result in results] == ["0", "1", "two", "3", "4"]
    assert isinstance(results[2], ValueError)


def test_a_full_queue_refuses_and_what_is_cancelled_frees_its_place_and_is_never_done():
    gate, done = Gate(), []

    async def main(queue):
        first = asyncio.create_task(queue.run(gate))
        await until(gate.begun.is_set)
        waiting = [asyncio.create_task(queue.run(lambda n=n: done.append(n))) for n in range(2)]
        await until(lambda: queue.num_waiting == 2)
        with pytest.raises(QueueFullError) as full:
            await queue.run(lambda: done.append("never"))
        assert 1 <= full.value.retry_after <= 60
        waiting[0].cancel()
        await until(lambda: queue.num_waiting == 1)
        late = asyncio.create_task(queue.run(lambda: done.append("late")))
        await until(lambda: queue.num_waiting == 2)
        gate.open.set()
        await asyncio.gather(first, waiting[1], late)
        assert waiting[0].cancelled()

    with queue_of(2) as queue:
        asyncio.run(main(queue))
        assert queue.num_waiting == 0
    assert done == [1, "late"]


def test_what_is_done_after_its_event_loop_is_gone_stops_nothing():
    gate = Gate()

    async def leave(queue):
        task = asyncio.create_task(queue.run(gate))
        await until(gate.begun.is_set)
        task.cancel()

    with queue_of(2) as queue:
        asyncio.run(leave(queue))
        gate.open.set()
        assert asyncio.run(queue.run(lambda: 7)) == 7


def scope_of(path):
    headers = [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")]
    return {
        **{"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http", "method": "POST"},
        **{"path": path, "raw_path": path.encode(), "root_path": "", "query_string": b"", "headers": headers},
        **{"client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8000)},
    }


class Connection:
    """One request to the application as its server would make it; the client can hang up."""

    def __init__(self, app, path="/api/pictures", body=DRAW, *, whole=True):
        self.sent, self.gone = [], asyncio.Event()
        self.messages = [{"type": "http.request", "body": json.dumps(body).encode(), "more_body": not whole}]
        self.task = asyncio.create_task(app(scope_of(path), self.receive, self.send))

    async def receive(self):
        if self.messages:
            return self.messages.pop()
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        self.sent.append(message)

    @property
    def status(self):
        return self.sent[0]["status"]

    @property
    def headers(self):
        return {name.decode().lower(): value.decode() for name, value in self.sent[0]["headers"]}

    @property
    def sentence(self):
        return json.loads(self.sent[1]["body"])["detail"]


@contextmanager
def app_with(monkeypatch, work, **limits):
    monkeypatch.setattr(drawing, "pictures", work)
    app = application([Served.of("run", untrained())], Limits(**limits), None)
    try:
        yield app
    finally:
        app.state.queue.close()


def test_beyond_the_bound_a_request_is_told_when_to_come_back(monkeypatch):
    gate = Gate()

    async def main(app):
        first = Connection(app)
        await until(gate.begun.is_set)
        waiting = Connection(app)
        await until(lambda: app.state.queue.num_waiting == 1)
        refused = [Connection(app) for _ in range(20)]
        await asyncio.gather(*(one.task for one in refused))
        assert {one.status for one in refused} == {503}
        assert all(int(one.headers["retry-after"]) >= 1 for one in refused)
        assert {one.headers["connection"] for one in refused} == {"close"}
        assert refused[0].sentence.startswith("Too many requests wait for the model: try again in ")
        words = Connection(app, "/api/words")  # needs no model
        await words.task
        assert words.status == 200
        gate.open.set()
        await asyncio.gather(first.task, waiting.task)
        assert (first.status, waiting.status) == (200, 200)

    with app_with(monkeypatch, gate, queue_length=1) as app:
        asyncio.run(main(app))


def test_a_client_that_hangs_up_frees_its_place(monkeypatch):
    gate, drawn = Gate(), []

    def work(*_, **options):
        drawn.append(options["seed"])
        return gate()

    async def main(app):
        first = Connection(app)
        await until(gate.begun.is_set)
        leaver = Connection(app, body={**DRAW, "seed": 1})
        await until(lambda: app.state.queue.num_waiting == 1)
        leaver.gone.set()
        await until(lambda: app.state.queue.num_waiting == 0)
        await leaver.task
        stayer = Connection(app, body={**DRAW, "seed": 2})
        await until(lambda: app.state.queue.num_waiting == 1)
        first.gone.set()  # while it is drawn
        await first.task
        gate.open.set()
        await stayer.task
        assert stayer.status == 200

    with app_with(monkeypatch, work, queue_length=1) as app:
        asyncio.run(main(app))
    assert drawn == [0, 2]


def test_over_a_socket_too_a_client_that_hangs_up_frees_its_place(monkeypatch):
    gate = Gate()
    content = json.dumps(DRAW).encode()
    lines = "POST /api/pictures HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(content)}"
    head = "\r\n".join((*lines, "Content-Type: application/json"))
    with app_with(monkeypatch, gate) as app, listening(app) as port:
        connections = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
        for number, connection in enumerate(connections):
            connection.sendall(f"{head}\r\n\r\n".encode() + content)
            asyncio.run(until(lambda number=number: gate.begun.is_set() and app.state.queue.num_waiting == number))
        connections[1].close()
        asyncio.run(until(lambda: app.state.queue.num_waiting == 1))
        gate.open.set()
        for connection in (connections[0], connections[2]):
            assert connection.recv(100).startswith(b"HTTP/1.1 200 OK\r\n")
            connection.close()


def test_what_is_not_drawn_by_its_deadline_is_answered_and_leaves_the_queue(monkeypatch):
    gate = Gate()

    async def main(app):
        both = [Connection(app), Connection(app)]
        await asyncio.gather(*(one.task for one in both))
        assert [one.status for one in both] == [504, 504]
        assert both[0].sentence == "The picture was not ready in time: ask for fewer, or try again later."
        assert app.state.queue.num_waiting == 0
        gate.open.set()

    with app_with(monkeypatch, gate, deadline=0.2) as app:
        asyncio.run(main(app))


def test_a_body_that_never_ends_is_answered_and_one_that_is_given_up_is_forgotten(monkeypatch):
    async def main(app):
        slow = Connection(app, whole=False)
        await slow.task
        assert (slow.status, slow.sentence) == (408, "The body did not arrive within 0.2 s.")
        leaver = Connection(app, whole=False)
        leaver.gone.set()
        await leaver.task
        assert leaver.sent == []

    with app_with(monkeypatch, Gate(), deadline=0.2) as app:
        asyncio.run(main(app))


def test_requests_that_are_open_at_once_are_bounded(monkeypatch):
    async def main(app):
        slow = [Connection(app, whole=False) for _ in range(3)]
        await asyncio.sleep(0)
        beyond = Connection(app, "/api/words")
        await beyond.task
        assert beyond.status == 503
        assert beyond.headers["retry-after"] == "1"
        for one in slow:
            one.gone.set()
        await asyncio.gather(*(one.task for one in slow))
        after = Connection(app, "/api/words")
        await after.task
        assert after.status == 200

    with app_with(monkeypatch, Gate(), open_requests=3) as app:
        asyncio.run(main(app))


def test_the_server_ends_its_thread_with_itself():
    with client(untrained()) as server:
        assert server.post("/api/pictures", json=DRAW).status_code == 200
        thread = next(one for one in threading.enumerate() if one.name == "model")
        assert thread.is_alive()
    assert not thread.is_alive()
