"""The API: pictures as `sclgan sample` draws them, refusals of one sentence, headers, OpenAPI, the page's files."""

import json
import re
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("fastapi")

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sclgan.runs.opened import Run
from sclgan.serving import drawing
from sclgan.serving.app import PAGE
from sclgan.serving.limits import Limits
from served import APPLE, FISH, client, pixels, untrained

DRAW: dict[str, Any] = {"run": "run", "caption": APPLE}
BETWEEN: dict[str, Any] = {"run": "run", "captions": [APPLE, FISH], "seeds": [0, 1], "sentence": 0.5, "noise": 0}
API = {
    "/api/words": DRAW,
    "/api/pictures": DRAW,
    "/api/maps": DRAW,
    "/api/between": BETWEEN,
}


@pytest.fixture(scope="module")
def server():
    with client(untrained(), untrained("attngan_emoji")) as made:
        yield made


def refusal(answer, status: int) -> str:
    """The one sentence of a refusal, which tells nothing of files or code."""
    assert answer.status_code == status, answer.text
    content = answer.json()
    assert list(content) == ["detail"]
    sentence = content["detail"]
    assert "\n" not in sentence
    assert not re.search(r"Traceback|secret_place|\.py\b|/home|site-packages", answer.text)
    return sentence


def test_pictures_are_those_of_sample_and_unknown_words_are_named(server):
    body = {"run": "run", "caption": "a red zyxxy apple", "num_images": 3, "seed": 4}
    answer = server.post("/api/pictures", json=body)
    assert answer.status_code == 200
    expected = untrained().sample(["a red apple"], num_images=3, seed=4).permute(0, 2, 3, 1).numpy()
    np.testing.assert_array_equal([pixels(png) for png in answer.json()["pictures"]], expected)
    assert answer.json()["left_out"] == [
        "words the text encoder never saw, left out of 'a red zyxxy apple': zyxxy",
    ]


def test_two_runs_draw_the_same_noise(monkeypatch):
    drawn = []
    generate = Run.generate
    with client(untrained("attngan_emoji"), untrained("attngan_emoji", "gan.num_residual_blocks=2")) as server:
        monkeypatch.setattr(Run, "generate", lambda run, text, z: drawn.append(z) or generate(run, text, z))
        body = {"caption": APPLE, "num_images": 2, "seed": 3}
        one, other = (server.post("/api/pictures", json={"run": name, **body}).json() for name in ("run", "run 2"))
    assert torch.equal(*drawn)
    assert one["pictures"] != other["pictures"]


def test_facts_of_the_server(server):
    facts = server.get("/api/server").json()
    run, other = facts["runs"]
    assert (run["name"], run["recipe"], run["step"], run["image_size"], run["maps"]) == (
        "run",
        "ssagan_emoji",
        7,
        32,
        "masks",
    )
    assert (other["name"], other["maps"]) == ("run 2", "words")
    assert run["examples"] == [APPLE]
    assert (run["noise_size"], other["noise_size"]) == (8, 12)  # AttnGAN's holds that of the conditioning augmentation
    assert facts["limits"] == {
        "caption_length": 500,
        "num_images": 16,
        "largest_seed": 2**32 - 1,
        "queue_length": 32,
        "deadline": 30.0,
        "body_size": 16096,
    }


def test_words_maps_and_mixtures(server):
    assert server.post("/api/words", json={**DRAW, "caption": "red wvut"}).json() == {
        "parts": [{"text": "red ", "kind": "read"}, {"text": "wvut", "kind": "unknown"}]
    }
    maps = server.post("/api/maps", json={**DRAW, "run": "run 2", "num_images": 2, "picture": 1}).json()["maps"]
    assert [one["label"].split()[0] for one in maps] == APPLE.split()
    assert pixels(maps[0]["png"]).shape == (32, 32, 3)
    (corner,) = server.post("/api/pictures", json={**DRAW, "seed": 1}).json()["pictures"]
    mixed = server.post("/api/between", json={**BETWEEN, "sentence": 0, "noise": 1}).json()["picture"]
    np.testing.assert_array_equal(pixels(mixed), pixels(corner))


@pytest.mark.parametrize(
    ("path", "change", "status", "expected"),
    [
        ("/api/pictures", {"run": "nothere"}, 404, "This server has no such run; it has run, run 2."),
        ("/api/pictures", {"caption": "a" * 501}, 422, "A caption may have 500 characters, not 501."),
        ("/api/words", {"caption": "a" * 501}, 422, "A caption may have 500 characters, not 501."),
        ("/api/between", {"captions": [APPLE, "a" * 501]}, 422, "A caption may have 500 characters, not 501."),
        ("/api/pictures", {"caption": ""}, 422, "The caption is empty: ''; write one with words of the training"),
        ("/api/pictures", {"caption": "zyxxy"}, 422, "The caption holds no known word: 'zyxxy'; write one with"),
        ("/api/pictures", {"num_images": 17}, 422, "One request may draw 16 pictures, not 17."),
        ("/api/maps", {"num_images": 10**9}, 422, "One request may draw 16 pictures, not 1000000000."),
        ("/api/maps", {"num_images": 2, "picture": 2}, 422, "Pictures are numbered from 0 to 1: 2 is not one."),
        ("/api/pictures", {"num_images": 0}, 422, "num_images: Input should be greater than or equal to 1."),
        ("/api/pictures", {"num_images": 2.5}, 422, "num_images: Input should be a valid integer"),
        ("/api/pictures", {"seed": -1}, 422, "seed: Input should be greater than or equal to 0."),
        ("/api/pictures", {"seed": 2**32}, 422, "seed: Input should be less than or equal to 4294967295."),
        ("/api/pictures", {"seed": "1"}, 422, "seed: Input should be a valid integer."),
        ("/api/pictures", {"path": "/etc/passwd"}, 422, "path: Extra inputs are not permitted."),
        ("/api/pictures", {"a\x1b[2Jb": 1}, 422, "a\\x1b[2Jb: Extra inputs are not permitted."),
        ("/api/pictures", {"caption": "apple \ud800"}, 422, "caption: Half a surrogate pair is no character."),
        ("/api/pictures", {"\ud800": 1}, 422, "The body must be a JSON object"),
        ("/api/between", {"sentence": 1.01}, 422, "sentence: Input should be less than or equal to 1."),
        ("/api/between", {"noise": float("nan")}, 422, "noise: Input should be"),
        ("/api/between", {"captions": [APPLE]}, 422, "captions: List should have at least 2 items"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_a_sentence(path, change, status, expected, server):
    answer = server.post(
        path, content=json.dumps({**API[path], **change}), headers={"Content-Type": "application/json"}
    )
    assert refusal(answer, status).startswith(expected)


def test_other_bodies_addresses_and_methods(server):
    for content in (b"{", b"\xff\xfe", b"[1, 2", b"[" * 10_000, b'{"run": ' * 2000):
        assert refusal(server.post("/api/pictures", content=content, headers={"Content-Type": "application/json"}), 422)
    assert "must be a JSON object" in refusal(server.post("/api/pictures", content=b"[]"), 422)
    assert "caption: Field required." in refusal(server.post("/api/pictures", json={"run": "run"}), 422)
    for path in (
        "/api",
        "/static/page.js",
        "/../secret",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/docs",
        "/redoc",
        "/index.html",
    ):
        assert refusal(server.get(path), 404) == "Nothing is at this address; /openapi.json lists what is."
    assert refusal(server.get("/api/pictures"), 405).startswith("This address does not take that method")


def test_a_long_body_is_refused_whether_its_length_is_told_or_not(server):
    long = b" " * 16_097
    expected = "The body is longer than 16096 bytes, the most that this server reads."
    assert refusal(server.post("/api/pictures", content=long), 413) == expected
    assert refusal(server.post("/api/pictures", content=iter([long[:9000], long[9000:]])), 413) == expected


def test_a_gan_without_maps_says_so():
    run = untrained("galip_emoji")
    with client(run) as server:
        assert server.get("/api/server").json()["runs"][0]["maps"] is None
        assert refusal(server.post("/api/maps", json=DRAW), 422).startswith("The GAN of this run has no attention")
        assert len(server.post("/api/pictures", json={**DRAW, "num_images": 2}).json()["pictures"]) == 2
        assert server.post("/api/between", json=BETWEEN).status_code == 200


def test_an_error_of_the_server_tells_nothing(monkeypatch, caplog):
    def broken(*_, **__):
        raise RuntimeError("/home/secret_place/x.py")

    monkeypatch.setattr(drawing, "pictures", broken)
    with client(untrained()) as server:
        answer = server.post("/api/pictures", json=DRAW)
        assert refusal(answer, 500) == "The server failed to answer; its log says why."
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "secret_place/x.py" in caplog.text
        assert server.get("/api/server").status_code == 200


def test_every_answer_has_the_headers(server):
    answers = [server.get(path) for path in (*PAGE, "/api/server", "/openapi.json", "/nothing")]
    answers += [server.post("/api/pictures", json=DRAW), server.post("/api/pictures", content=b" " * 20_000)]
    for answer in answers:
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "Access-Control-Allow-Origin" not in answer.headers


def test_the_page_fetches_nothing_from_elsewhere_and_all_of_its_files_are_served(server):
    texts = {path: server.get(path).text for path in PAGE}
    assert all(texts.values())
    for path, text in texts.items():
        assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", text), path
    assert "<script>" not in texts["/"]
    assert not re.findall(r"\son\w+=|style=", texts["/"])
    named = re.findall(r'(?:src|href)="(/[^"]*)"', texts["/"])
    named += [path for text in texts.values() for path in re.findall(r'from "([^"]+)"', text)]
    assert len(named) > 8
    assert set(named) <= {*PAGE, "/openapi.json"}


def test_openapi_has_every_route_with_its_answers(server):
    described = server.get("/openapi.json").json()
    routes = {(route.path, *route.methods) for route in server.app.routes if route.path.startswith("/api/")}
    assert {(path, method.upper()) for path, each in described["paths"].items() for method in each} == routes
    assert {path for path, _ in routes} == {*API, "/api/server"}
    for path in API:
        post = described["paths"][path]["post"]
        assert {"200", "404", "413", "422", "503", "504"} <= set(post["responses"])
        assert post["description"]
        for status, answer in post["responses"].items():
            schema = answer["content"]["application/json"]["schema"]["$ref"]
            assert schema.endswith("/Problem") == (status != "200")


def test_a_loopback_server_answers_to_its_own_names_alone():
    with client(untrained(), hosts={"localhost", "127.0.0.1", "[::1]"}) as server:
        for host in ("localhost", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST:1"):
            assert server.get("/api/server", headers={"Host": host}).status_code == 200
        for host in ("evil.example", "evil.example:8000", "localhost.evil.example", "[::2]:8000", ""):
            answer = server.get("/api/server", headers={"Host": host})
            assert refusal(answer, 421).startswith("This server answers to 127.0.0.1, [::1], localhost alone")


def test_limits_can_be_set_and_must_be_positive():
    with client(untrained(), limits=Limits(caption_length=20, num_images=2)) as server:
        assert "may have 20 characters" in refusal(server.post("/api/pictures", json=DRAW), 422)
        body = {"run": "run", "caption": "apple", "num_images": 3}
        assert "may draw 2 pictures" in refusal(server.post("/api/pictures", json=body), 422)
    with pytest.raises(ValueError, match="queue_length must be a positive number, not 0"):
        Limits(queue_length=0)
    with pytest.raises(ValueError, match="deadline must be a positive number, not inf"):
        Limits(deadline=float("inf"))
    assert Limits(caption_length=5000).body_size > 2 * len(json.dumps("\U0001f34e" * 5000))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NEARLY = st.builds(
    lambda path, name, value: (path, {**API[path], name: value}),
    st.sampled_from(sorted(API)),
    st.sampled_from(["run", "caption", "captions", "seeds", "seed", "num_images", "picture", "sentence", "noise"]),
    JSON | st.just([APPLE, "apple \ud800"]) | st.integers(0, 20) | st.text(max_size=600),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(request=NEARLY, raw=st.none() | st.binary(max_size=200))
def test_any_body_is_answered(server, request, raw):
    path, body = request
    content = raw if raw is not None else json.dumps(body).encode()
    answer = server.post(path, content=content, headers={"Content-Type": "application/json"})
    if answer.status_code != 200:
        assert answer.status_code in (404, 413, 422)
        refusal(answer, answer.status_code)
