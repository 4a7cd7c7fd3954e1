"""`sclgan serve`: a real process that is asked over HTTP, and what it refuses before it opens a run."""

import importlib.util
import json
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

pytest.importorskip("fastapi")

import uvicorn

from command_line import APPLE, refused
from sclgan.serving import server


@pytest.fixture
def taken():
    """A port that something listens on."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


def test_a_server_says_where_it_is_answers_and_ends_without_a_traceback():
    command = [sys.executable, "-m", "sclgan", "serve", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            told = process.stderr.readline()
            match = re.fullmatch(r"emoji on (http://127\.0\.0\.1:\d+) \(Ctrl\+C ends it\)\n", told)
            assert match, told + process.stderr.read()
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            body = json.dumps({"run": "emoji", "caption": APPLE, "num_images": 2}).encode()
            asked = urllib.request.Request(f"{match[1]}/api/pictures", body, {"Content-Type": "application/json"})
            with opener.open(asked, timeout=60) as answer:
                assert len(json.load(answer)["pictures"]) == 2
                assert answer.headers["Server"] is None
        finally:
            process.send_signal(signal.SIGINT)
        said = process.stderr.read()
        assert process.wait(60) == 130
    assert "Traceback" not in said


def test_a_wrong_run_a_taken_port_and_odd_options_are_one_sentence(taken, tmp_path):
    assert "nothere is not a run folder: there is no such folder" in refused("serve", "nothere")
    assert "has no recipe.json; `sclgan train` makes one" in refused("serve", "emoji", tmp_path)
    assert f"port {taken} is in use: give another --port, or --port 0 for any free one" in refused(
        "serve", "emoji", "--port", taken
    )
    assert "--port must be from 0 (any free port) to 65535, not 70000" in refused("serve", "--port", 70000)
    assert "--host no.such.host.invalid is not an address of this machine" in refused(
        "serve", "--host", "no.such.host.invalid"
    )
    assert "queue_length must be a positive number, not 0" in refused("serve", "--queue", 0)
    assert "has no checkpoint '99'" in refused("serve", "--port", 0, "--checkpoint", 99)


@pytest.mark.parametrize("package", ["fastapi", "uvicorn"])
def test_a_missing_extra_is_named(package, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else find(name))
    expected = f"`sclgan serve` needs the package {package}: pip install 'sclgan[serve]'"
    assert expected in refused("serve", "nothere")


def test_without_a_model_in_the_package_a_run_must_be_named(monkeypatch):
    monkeypatch.setattr("sclgan.models.names", list)
    assert "comes with no model: name a run folder, as in `sclgan serve runs/scl`" in refused("serve")


@pytest.fixture
def stopped(monkeypatch):
    """The applications that uvicorn would have run."""
    found = []
    monkeypatch.setattr(uvicorn.Server, "run", lambda self, sockets: found.append((self.config.app, sockets)))
    yield found
    for app, _ in found:
        app.state.queue.close()


@pytest.mark.parametrize(("host", "hosts"), [("127.0.0.1", {"localhost", "127.0.0.1", "[::1]"}), ("0.0.0.0", None)])
def test_other_hosts_than_loopback_are_warned_of(host, hosts, stopped, caplog):
    from sclgan.serving.limits import Limits

    caplog.set_level("INFO")
    server.serve([Path("emoji"), Path("emoji")], checkpoint="last", host=host, port=0, limits=Limits())
    ((app, _),) = stopped
    (guard,) = app.user_middleware
    assert guard.kwargs["hosts"] == hosts
    warnings = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert [("anyone who reaches 0.0.0.0" in warning) for warning in warnings] == [True] * (hosts is None)
    assert re.search(rf"emoji, emoji \(2\) on http://{host}:\d+ ", caplog.text)


def test_loopback_addresses():
    assert all(map(server.is_loopback, ("127.0.0.1", "127.8.0.1", "::1", "localhost", "LOCALHOST")))
    assert not any(map(server.is_loopback, ("0.0.0.0", "::", "192.168.1.5", "example.org")))
    assert server.known_hosts("127.8.0.1") == {"localhost", "127.0.0.1", "[::1]", "127.8.0.1"}


def test_runs_of_one_name_are_numbered():
    folders = [Path(path) for path in ("a/scl", "plain", "b/scl", "scl (2)", "c/../scl")]
    assert server.names_of(folders) == ["scl", "plain", "scl (2)", "scl (2) (2)", "scl (3)"]
    assert server.names_of([Path("user/model"), Path(".")]) == ["model", Path.cwd().name]
