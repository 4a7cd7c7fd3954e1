"""`sclgan serve` under load on loopback: time to the first picture, requests per second, latency, memory, odd requests.

    python benchmarks/serving.py [RUN] [--seconds 10] [--fuzz 10000] [--out FILE]

Each client asks for one picture after the other, with another seed each time, and waits as Retry-After says where the
queue is full; latencies are of answers with a picture. Then odd requests are sent over 200 connections: bodies of other
types and sizes, other paths and methods, broken HTTP, bodies that end early. Each must be answered, unless it hangs up
itself, and none by an error of the server. Clients and server share the cores.
"""

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

CAPTION = "a red apple on a white background"
CLIENTS = (1, 20, 200)
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
WORST = 120  # seconds until a request counts as not answered


async def answer_to(
    request: bytes, port: int, kept: list[Connection] | None = None
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body; `kept` holds the connection from one call to the next."""
    connection = kept.pop() if kept else await asyncio.open_connection("127.0.0.1", port)
    reader, writer = connection
    try:
        writer.write(request)
        await writer.drain()
    except ConnectionError:  # refused while it is sent: the answer can be there all the same
        pass
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    if head[0].split()[1] == "100":  # Continue: the answer follows
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    if request.startswith(b"HEAD "):
        body = b""
    elif "content-length" in headers:
        body = await reader.readexactly(int(headers["content-length"]))
    else:
        body = await reader.read() if headers.get("connection") == "close" else b""
    if kept is not None and headers.get("connection") != "close":
        kept.append(connection)
    else:
        writer.close()
    return int(head[0].split()[1]), headers, body


def post(path: str, body: bytes, *extra: str, length: int | None = None, method: str = "POST") -> bytes:
    """A request as it goes over the wire."""
    size = len(body) if length is None else length
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "Content-Type: application/json",
        f"Content-Length: {size}",
    ]
    return "\r\n".join([*lines, *extra, "", ""]).encode() + body


async def client(number: int, port: int, until: float, run: str, seconds: list[float], statuses: Counter[int]) -> None:
    kept: list[Connection] = []
    for turn in range(10**9):
        if time.perf_counter() > until:
            break
        body = json.dumps({"run": run, "caption": CAPTION, "seed": 10**6 * number + turn}).encode()
        began = time.perf_counter()
        request = post("/api/pictures", body)
        status, headers, content = await asyncio.wait_for(answer_to(request, port, kept), WORST)
        statuses[status] += 1
        if status == 200:
            seconds.append(time.perf_counter() - began)
            assert len(json.loads(content)["pictures"]) == 1
        else:
            await asyncio.sleep(int(headers.get("retry-after", 0)))
    for _, writer in kept:
        writer.close()


async def load(num_clients: int, port: int, duration: float, run: str) -> dict[str, Any]:
    """The figures of some clients at once."""
    seconds: list[float] = []
    statuses: Counter[int] = Counter()
    began = time.perf_counter()
    each = (client(number, port, began + duration, run, seconds, statuses) for number in range(num_clients))
    await asyncio.gather(*each)
    took = time.perf_counter() - began
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return {
        "clients": num_clients,
        "pictures_per_second": round(len(seconds) / took, 1),
        "milliseconds": {f"p{place}": round(1000 * cuts[place - 1]) for place in (50, 95, 99)},
        "answers": dict(sorted(statuses.items())),
    }


def odd_request(rng: random.Random, run: str) -> tuple[str, bytes]:
    """A kind, and a request that a client should not send; some of them are valid by chance."""
    path = rng.choice(["/api/words", "/api/pictures", "/api/maps", "/api/between"])
    fields: dict[str, Any] = {
        "run": run,
        "caption": CAPTION,
        "num_images": rng.choice([1, 2, 16]),
        "seed": rng.randrange(9),
    }
    if path == "/api/between":
        fields = {"run": run, "captions": [CAPTION] * 2, "seeds": [0, 1], "sentence": rng.random(), "noise": 0}
    odd: list[Any] = [
        None,
        True,
        -1,
        0,
        17,
        2**31,
        10**40,
        1.5,
        "",
        "\ud800",
        "zyxxy",
        "a " * rng.randrange(9000),
        [],
        {},
        [[]],
    ]
    kind = rng.choice(["field", "field", "field", "extra", "bytes", "path", "method", "deep", "header", "http", "gone"])
    if kind == "field":
        fields[rng.choice(sorted(fields))] = rng.choice(odd)
    if kind == "extra":
        fields[rng.choice(["path", "__class__", "\x1b[2J", "\ud800"])] = rng.choice(odd)
    body = json.dumps(fields).encode()
    if kind == "bytes":
        body = rng.randbytes(rng.randrange(40_000))
    if kind == "deep":
        body = b'{"run":' * rng.randrange(2000) + b"[" * rng.randrange(2000)
    if kind == "path":
        path = rng.choice(
            [
                "/..%2f..%2fetc/passwd",
                "/api/" + "a" * rng.randrange(9000),
                "/%00",
                "/docs",
                "//",
                "/api/words?" + "&" * 999,
            ]
        )
    if kind == "method":
        return kind, post(path, body, method=rng.choice(["GET", "PUT", "DELETE", "HEAD", "OPTIONS", "ODD"]))
    if kind == "header":
        return kind, post(
            path, body, rng.choice(["X: " + "a" * 12_000, "Host: evil.example", "Cookie: \xff", "Expect: 100-continue"])
        )
    if kind == "http":
        return kind, rng.choice(
            [b"GET\r\n\r\n", rng.randbytes(99) + b"\r\n\r\n", post(path, body, length=-1), b"GET / HTTP/9\r\n\r\n"]
        )
    if rng.random() < 0.003:
        return "ends early", post(path, body, length=len(body) + 10)
    return kind, post(path, body)


async def fuzz(total: int, port: int, run: str) -> dict[str, Any]:
    """Odd requests over 200 connections at once: how each kind was answered."""
    rng = random.Random(0)
    requests = [odd_request(rng, run) for _ in range(total)]
    answers: Counter[str] = Counter()
    missing: Counter[str] = Counter()

    async def sender() -> None:
        while requests:
            kind, request = requests.pop()
            if kind == "gone":
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(request[: rng.randrange(len(request) + 1)])
                await asyncio.sleep(rng.random() / 50)
                writer.close()
                answers["hung up"] += 1
                continue
            try:
                status, _, body = await asyncio.wait_for(answer_to(request, port), WORST)
                answers[str(status)] += 1
                if b"Traceback" in body or b"site-packages" in body or status == 500:
                    missing[f"{kind}: {status}"] += 1
            except (TimeoutError, OSError, asyncio.IncompleteReadError) as error:
                missing[f"{kind}: {type(error).__name__}"] += 1

    began = time.perf_counter()
    await asyncio.gather(*(sender() for _ in range(200)))
    return {
        "requests": total,
        "seconds": round(time.perf_counter() - began, 1),
        "answers": dict(sorted(answers.items())),
        "not answered, or by an error": dict(missing),
    }


def megabytes(process: int) -> dict[str, int]:
    """Memory of a process now and at most, of the kernel's own account."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    found = {line.split(":")[0]: int(line.split()[1]) // 1024 for line in lines if line.startswith(("VmRSS", "VmHWM"))}
    return {"now": found["VmRSS"], "most": found["VmHWM"]}


async def measured(
    process: subprocess.Popen[str], port: int, began: float, arguments: argparse.Namespace
) -> dict[str, Any]:
    _, _, content = await answer_to(post("/api/server", b"", method="GET"), port)
    run = json.loads(content)["runs"][0]
    body = json.dumps({"run": run["name"], "caption": CAPTION}).encode()
    status, _, _ = await answer_to(post("/api/pictures", body), port)
    assert status == 200
    result = {
        "run": {name: run[name] for name in ("name", "recipe", "image_size")},
        "seconds_from_start_to_first_picture": round(time.perf_counter() - began, 2),
        "megabytes_after_start": megabytes(process.pid),
    }
    result["load"] = [await load(clients, port, arguments.seconds, run["name"]) for clients in CLIENTS]
    result["megabytes_after_load"] = megabytes(process.pid)
    result["fuzz"] = await fuzz(arguments.fuzz, port, run["name"])
    result["megabytes_after_fuzz"] = megabytes(process.pid)
    status, _, _ = await answer_to(post("/api/pictures", body), port)
    result["draws_afterwards"] = status == 200
    return result


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run", nargs="?", default="emoji")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--fuzz", type=int, default=10_000)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    began = time.perf_counter()
    command = [sys.executable, "-m", "sclgan", "serve", arguments.run, "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            port = int(line.split("127.0.0.1:")[1].split()[0])
            result = asyncio.run(measured(process, port, began, arguments))
        finally:
            process.terminate()
            said = process.stderr.read() if process.stderr else ""
    result["tracebacks_in_the_log"] = said.count("Traceback")
    text = json.dumps(result, indent=1)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
