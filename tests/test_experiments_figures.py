"""The figures of tiny runs, what is written in them, and the measures behind them against plain Python."""

import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sclgan.experiments.clusters import principal_components, silhouette
from sclgan.experiments.figures import embedding, loss, qualitative

CAPTIONS = ("a red apple on a white background", "a blue fish")


@pytest.fixture(scope="module")
def two(trained, tmp_path_factory) -> list[Path]:
    """Two runs of one recipe."""
    folder = tmp_path_factory.mktemp("two")
    for name in ("before", "after"):
        shutil.copytree(trained, folder / name)
    return [folder / "before", folder / "after"]


def words(path: Path) -> str:
    """The text of an SVG, without its tags."""
    text = path.read_text()
    return " ".join(part.split("</text>")[0].split(">")[-1] for part in text.split("<text")[1:])


def test_qualitative_has_captions_over_columns_and_models_in_rows(two, tmp_path):
    for name in ("a.svg", "b.svg", "c.png", "d.pdf"):
        qualitative(two, tmp_path / name, captions=CAPTIONS, seed=1)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert (tmp_path / "a.svg").read_text().count("<image") == 4
    shown = words(tmp_path / "a.svg")
    assert "a red apple on a" in shown
    assert "a blue fish" in shown
    assert "before" in shown
    assert "after" in shown
    assert (tmp_path / "d.pdf").read_bytes().startswith(b"%PDF")
    with Image.open(tmp_path / "c.png") as picture:
        assert picture.format == "PNG"
        assert len(np.unique(np.asarray(picture))) > 20
    qualitative(two[:1], tmp_path / "held_out.svg")
    assert (tmp_path / "held_out.svg").read_text().count("<image") == 8


def test_embedding_names_labels_and_scores_of_both_folders(two, tmp_path):
    out = tmp_path / "figure.svg"
    embedding([two[0], two[1] / "pretraining"], out, num_labels=3)
    shown = words(out)
    assert shown.count("silhouette: images ") == 2
    assert "before" in shown
    assert "pretraining" in shown
    assert "% of the variance" in shown
    assert "image" in shown
    assert "text" in shown
    refused: tuple[tuple[list[Path], dict[str, Any], str], ...] = (
        (two[:1], {}, "two folders, before and after, not 1"),
        (two, {"num_labels": 1}, "1 labels to show: choose 2 to"),
    )
    for folders, options, expected in refused:
        with pytest.raises(ValueError, match=expected):
            embedding(folders, tmp_path / "no.png", **options)
    assert [path.name for path in tmp_path.iterdir()] == ["figure.svg"]


def test_loss_shows_both_phases(two, tmp_path):
    out = tmp_path / "figure.svg"
    loss([*two, two[0] / "pretraining"], out)
    shown = words(out)
    for title in ("pre-training: words", "pre-training: contrast", "GAN: generator: adversarial", "before", "after"):
        assert title in shown
    assert shown.count("pre-training: words") == 1


def test_a_figure_needs_runs_and_a_known_ending(two, tmp_path):
    with pytest.raises(ValueError, match=r"written as \.png, \.pdf, \.svg"):
        loss(two, tmp_path / "figure.jpeg")
    with pytest.raises(ValueError, match="name at least one folder"):
        qualitative([], tmp_path / "figure.png")
    with pytest.raises(FileNotFoundError, match="is not a run folder"):
        loss([tmp_path], tmp_path / "figure.png")


def cosine_distance(a: list[float], b: list[float]) -> float:
    return 1 - sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)


def test_silhouette_is_its_definition():
    rows = torch.randn(13, 5, generator=torch.Generator().manual_seed(0))
    labels = [0, 0, 0, 0, 3, 3, 3, 7, 7, 7, 7, 7, 9]  # 9 is alone
    scores = []
    for i, row in enumerate(rows.tolist()):
        means = {}
        for label in set(labels):
            there = [j for j in range(len(labels)) if labels[j] == label and j != i]
            if there:
                means[label] = sum(cosine_distance(row, rows[j].tolist()) for j in there) / len(there)
        inside = means.pop(labels[i], None)
        outside = min(means.values())
        scores.append(0.0 if inside is None else (outside - inside) / max(inside, outside))
    assert silhouette(rows, torch.tensor(labels)) == pytest.approx(sum(scores) / len(scores), abs=1e-6)


def test_silhouette_has_its_limits():
    tight = torch.eye(4)[[0, 0, 1, 1]]
    assert silhouette(tight, torch.tensor([0, 0, 1, 1])) == pytest.approx(1)
    assert silhouette(tight, torch.tensor([0, 1, 0, 1])) < 0
    with pytest.raises(ValueError, match="at least two"):
        silhouette(tight, torch.zeros(4, dtype=torch.long))


def test_principal_components_are_the_eigenvectors_of_the_covariance():
    rows = torch.randn(40, 6, generator=torch.Generator().manual_seed(1)) * torch.tensor([5.0, 3, 1, 1, 1, 1])
    places, share = principal_components(rows)
    values, vectors = np.linalg.eigh(np.cov(rows.double().numpy().T))
    expected = (rows.double().numpy() - rows.double().numpy().mean(axis=0)) @ vectors[:, [-1, -2]]
    assert np.abs(places.numpy()) == pytest.approx(np.abs(expected), abs=1e-9)
    assert share == pytest.approx(values[-2:].sum() / values.sum())
    assert all(places[places[:, k].abs().argmax(), k] > 0 for k in range(2))
    assert torch.equal(principal_components(-rows)[0].abs().argmax(0), places.abs().argmax(0))
