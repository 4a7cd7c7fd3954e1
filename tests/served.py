"""Runs with random weights, and the server's application for them."""

import base64
import io
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image

from runs import small
from sclgan.data.captions import Vocabulary
from sclgan.recipe_fields import override
from sclgan.runs.opened import Run
from sclgan.serving.app import application
from sclgan.serving.drawing import Served
from sclgan.serving.limits import Limits

APPLE, FISH = "a red apple on a white background", "two blue fish"
URL = "http://127.0.0.1"


@cache
def untrained(name: str = "ssagan_emoji", *assignments: str) -> Run:
    """The tiny recipe's networks as they are before training, with the words of two captions."""
    recipe = override(small(name), ["image_size=32", *assignments])
    tokenizer = Vocabulary.of([APPLE, FISH], max_words=8)
    torch.manual_seed(0)
    encoders = recipe.encoders(tokenizer.num_tokens).eval()
    gan = recipe.gan(encoders, image_size=recipe.image_size)
    gan.generator.eval()
    return Run(Path("secret_place") / name, recipe, 7, encoders, tokenizer, gan)


def client(*runs: Run, limits: Limits | None = None, **options: Any) -> TestClient:
    """A client of a server for the runs, named "run", "run 2"; errors in the server become answers."""
    names = [f"run {number}" if number > 1 else "run" for number in range(1, len(runs) + 1)]
    served = [Served.of(name, run) for name, run in zip(names, runs, strict=True)]
    app = application(served, limits or Limits(), options.pop("hosts", None))
    return TestClient(app, base_url=URL, **options)


@contextmanager
def listening(app: FastAPI) -> Iterator[int]:
    """Within it the application is served on a port of loopback, as `sclgan serve` does it."""
    own = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, http="h11", ws="none", log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [own]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield own.getsockname()[1]
    server.should_exit = True
    thread.join(60)


def pixels(png: str) -> np.ndarray:
    """A PNG of an answer as [h w 3]."""
    with Image.open(io.BytesIO(base64.b64decode(png))) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB"))
