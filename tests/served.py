"""Runs with random weights, and the server's application for them."""

import base64
import io
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
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


def pixels(png: str) -> np.ndarray:
    """A PNG of an answer as [h w 3]."""
    with Image.open(io.BytesIO(base64.b64decode(png))) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB"))
