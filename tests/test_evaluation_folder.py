"""Folders of pictures against folders, statistics and data sets: the values of a run, on any number of ranks."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from ranks import run_on_ranks
from sclgan.evaluation.applicable import Offer, applicable
from sclgan.evaluation.batches import PictureBatch
from sclgan.evaluation.engine import EvaluationOptions
from sclgan.evaluation.folder import evaluate_folder
from sclgan.evaluation.protocols import PROTOCOLS
from sclgan.evaluation.results import Result
from sclgan.evaluation.run import evaluate_run
from sclgan.evaluation.saved_pictures import saved
from sclgan.metrics.gaussian import Gaussian

NUM = 24
UNKNOWN = " (reals.npz names no network)"


@pytest.fixture(scope="module")
def pictures(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A run's graded pictures as PNG, their statistics, and what the run scored."""
    folder = tmp_path_factory.mktemp("pictures")
    shutil.copytree(trained, folder / "run")
    results = evaluate_run(
        folder / "run",
        EvaluationOptions(
            ["fd_lite0", "kid_lite0", "is_lite0", "r_precision_damsm", "background_accuracy"],
            num_images=NUM,
            seed=2,
            save_statistics=folder / "fakes.npz",
        ),
        save_pictures=folder / "fakes",
    )
    return {"folder": folder, "results": {result.protocol: result for result in results}}


@pytest.fixture(scope="module")
def reals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of two sizes, some not square."""
    folder = tmp_path_factory.mktemp("reals")
    rng = np.random.default_rng(0)
    for number in range(NUM + 3):
        pixels = rng.integers(0, 256, (40, 40 if number % 2 else 70, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def by_name(results: list[Result]) -> dict[str, float]:
    return {result.label: result.value for result in results}


def test_pictures_of_a_run_score_what_the_run_does(pictures: dict[str, Any]) -> None:
    folder, of_run = pictures["folder"], pictures["results"]
    results = evaluate_folder(
        folder / "fakes",
        EvaluationOptions(["is_lite0", "r_precision_damsm", "background_accuracy", "kid_lite0"], reals="emoji", seed=2),
        encoders=folder / "run",
    )
    for result in results:
        assert result.value == pytest.approx(of_run[result.protocol].value, rel=1e-6)
        assert result.label == of_run[result.protocol].label
    (fd,) = evaluate_folder(folder / "fakes", EvaluationOptions(["fd_lite0"], reals="emoji", seed=2, num_workers=1))
    assert fd.value == pytest.approx(of_run["fd_lite0"].value, rel=1e-6)
    assert (fd.num_samples, fd.num_reals, fd.source, fd.split) == (NUM, NUM, "emoji", "test")
    records = [json.loads(line) for line in (folder / "fakes" / "evaluations.jsonl").read_text().splitlines()]
    assert [record["protocol"] for record in records][-1] == "fd_lite0"
    assert records[-1]["pictures"] == str(folder / "fakes")
    assert records[-1]["interval_kind"].startswith("95 %, jackknife")
    assert records[-1]["versions"].keys() == {"sclgan", "python", "torch", "numpy", "pillow"}


def test_a_folder_and_its_statistics_are_the_same_reference(
    pictures: dict[str, Any], reals: Path, tmp_path: Path, caplog: Any
) -> None:
    fakes, out = pictures["folder"] / "fakes", tmp_path / "records.jsonl"
    assert (
        evaluate_folder(reals, EvaluationOptions(["fd_lite0"], save_statistics=tmp_path / "reals.npz", out=out)) == []
    )
    assert Gaussian.load(tmp_path / "reals.npz").num_samples == NUM + 3
    (whole,) = evaluate_folder(fakes, EvaluationOptions(["fd_lite0"], reals=str(reals), out=out))
    (known,) = evaluate_folder(fakes, EvaluationOptions(["fd_lite0"], reals=str(tmp_path / "reals.npz"), out=out))
    assert known.value == pytest.approx(whole.value, rel=1e-9)
    assert (known.num_reals, whole.reals_sha256) == (NUM + 3, None)
    assert known.reals_sha256 is not None
    statistics = Gaussian.load(tmp_path / "reals.npz")
    np.savez(tmp_path / "bare.npz", mu=statistics.mu, sigma=statistics.sigma)
    caplog.clear()
    (bare,) = evaluate_folder(fakes, EvaluationOptions(["fd_lite0"], reals=str(tmp_path / "bare.npz"), out=out))
    assert (bare.value, bare.num_reals) == (known.value, None)
    assert (known.label, bare.label) == (f"fd_lite0@{NUM}", f"fd_lite0@{NUM} (bare.npz names no network)")
    assert "bare.npz does not name its network and resize" in caplog.text
    assert [json.loads(line)["num_reals"] for line in out.read_text().splitlines()] == [NUM + 3, NUM + 3, None]
    (against_run,) = evaluate_run(
        pictures["folder"] / "run", EvaluationOptions(["fd_lite0"], num_images=NUM, seed=2, reals=str(reals))
    )
    assert against_run.value == pytest.approx(whole.value, rel=1e-6)


def graded(folder: Path, reals: Path, out: Path) -> dict[str, float]:
    return by_name(
        evaluate_folder(folder, EvaluationOptions(["fd_lite0", "kid_lite0", "is_lite0"], reals=str(reals), out=out))
    )


def test_ranks_give_the_values_of_one_process(pictures: dict[str, Any], reals: Path, tmp_path: Path) -> None:
    fakes = pictures["folder"] / "fakes"
    single = graded(fakes, reals, tmp_path / "one.jsonl")
    assert set(single) == {f"{name}@{NUM}" for name in ("fd_lite0", "kid_lite0", "is_lite0")}
    for result in run_on_ranks(graded, 2, fakes, reals, tmp_path / "two.jsonl"):
        assert result == pytest.approx(single, rel=1e-6)
    assert len((tmp_path / "two.jsonl").read_text().splitlines()) == 3


def test_a_curve_is_a_picture_numbers_and_a_limit(reals: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "reals.npz", mu=rng.random(1280), sigma=np.diag(rng.random(1280)))
    options: dict[str, Any] = {
        "reals": str(tmp_path / "reals.npz"),
        "num_images": 12,
        "out": tmp_path / "records.jsonl",
    }
    at_once, limit = evaluate_folder(reals, EvaluationOptions(["fd_lite0"], curve=tmp_path / "c.png", **options))
    numbers = json.loads((tmp_path / "c.json").read_text())["fd_lite0"]
    assert (limit.label, limit.value) == (f"fd_lite0@12_infinity{UNKNOWN}", numbers["limit"]["value"])
    assert (numbers["num_samples"][-1], numbers["values"][-1]) == (12, pytest.approx(at_once.value, rel=1e-6))
    with Image.open(tmp_path / "c.png") as picture:
        assert picture.format == "PNG"
    with pytest.raises(ValueError, match="a curve is that of a Frechet distance"):
        evaluate_folder(reals, EvaluationOptions(["is_lite0"], curve=tmp_path / "c.png", **options))


def test_without_real_pictures_what_compares_is_left_out(reals: Path, tmp_path: Path, caplog: Any) -> None:
    with caplog.at_level("INFO"):
        results = evaluate_folder(reals, EvaluationOptions(num_images=10, out=tmp_path / "records.jsonl"))
    assert [result.label for result in results] == ["is_lite0@10"]
    of_reason = {reason: names.split(", ") for names, reason in (m.split(" left out: ") for m in caplog.messages)}
    assert "fd_lite0" in of_reason["compares with real pictures: give --reals"]
    assert any(reason.startswith("needs the codes of a DAMSM") for reason in of_reason)


@pytest.mark.parametrize(
    ("protocol", "reals_are", "expected"),
    [
        ("fd_lite0", None, "fd_lite0 compares with real pictures: give --reals"),
        ("kid_lite0", "npz", "kid_lite0 compares with real pictures one by one"),
        ("r_precision_damsm", "folder", "needs the codes of a DAMSM"),
        ("diversity_lite0", "folder", "needs several pictures of a label"),
        ("background_accuracy", "folder", "is for the emoji source alone"),
        ("fd_lite0", "emoji", "generated pictures have sizes"),
        ("fd_lite0", "none", "is not a folder, an .npz file or a data set"),
        ("fd_lite0", "wide", "wide.npz has 3 features, fd_lite0 has 1280"),
        ("fd_lite0", "other", "other.npz was made with inception@tf1"),
    ],
)
def test_what_does_not_fit_says_what_to_give(
    protocol: str, reals_are: str | None, expected: str, reals: Path, tmp_path: Path
) -> None:
    zeros = np.zeros(1280), np.eye(1280)
    np.savez(tmp_path / "npz.npz", mu=zeros[0], sigma=zeros[1])
    np.savez(tmp_path / "wide.npz", mu=np.zeros(3), sigma=np.eye(3))
    np.savez(tmp_path / "other.npz", mu=zeros[0], sigma=zeros[1], extractor="inception@tf1")
    given = {"folder": str(reals), "emoji": "emoji", "none": "none", None: None}
    named = given.get(reals_are, str(tmp_path / f"{reals_are}.npz"))
    with pytest.raises((ValueError, FileNotFoundError), match=expected):
        evaluate_folder(reals, EvaluationOptions([protocol], reals=named, num_images=6, out=tmp_path / "records.jsonl"))
    assert not (tmp_path / "records.jsonl").exists()


def test_a_damaged_picture_among_the_rest_is_named(reals: Path, tmp_path: Path) -> None:
    shutil.copytree(reals, tmp_path / "fakes")
    damaged = tmp_path / "fakes" / "7.png"
    damaged.write_bytes(damaged.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"7\.png is truncated or not a picture"):
        evaluate_folder(tmp_path / "fakes", EvaluationOptions(["is_lite0"]))
    assert not (tmp_path / "fakes" / "evaluations.jsonl").exists()


def test_a_folder_of_pictures_appears_whole_or_not_at_all(pictures: dict[str, Any], tmp_path: Path) -> None:
    run = pictures["folder"] / "run"
    options = EvaluationOptions(["background_accuracy"], num_images=2, out=tmp_path / "r.jsonl")
    with pytest.raises(ValueError, match="is not empty: --save-pictures names a new folder"):
        evaluate_run(run, options, save_pictures=pictures["folder"] / "fakes")
    left_over = tmp_path / ".fakes.pictures.partial"
    left_over.mkdir()
    (left_over / "000000.png").touch()  # of a killed evaluation
    evaluate_run(run, options, save_pictures=tmp_path / "fakes")
    assert sorted(path.name for path in (tmp_path / "fakes").iterdir()) == [
        "000000.png",
        "000001.png",
        "metadata.jsonl",
    ]
    assert not left_over.exists()

    def fails(batch: PictureBatch) -> Iterator[PictureBatch]:
        yield batch
        raise KeyboardInterrupt

    batch = PictureBatch(torch.tensor([0]), torch.zeros(1, 3, 4, 4, dtype=torch.uint8), ["a"], torch.tensor([0]))
    with pytest.raises(KeyboardInterrupt):
        list(saved(fails(batch), tmp_path / "others"))
    assert not list(tmp_path.glob("*others*"))


def test_a_generator_of_nan_is_refused(pictures: dict[str, Any], tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(pictures["folder"] / "run", run)
    path = next((run / "checkpoints").glob("*6/averaged_generator.safetensors"))
    save_file({name: x * torch.nan if x.is_floating_point() else x for name, x in load_file(path).items()}, path)
    records = (run / "evaluations.jsonl").read_text()
    with pytest.raises(FloatingPointError, match="run: the generator of step 6 draws NaN or infinity in 4 of 4"):
        evaluate_run(run, EvaluationOptions(["is_lite0"], num_images=4))
    assert (run / "evaluations.jsonl").read_text() == records


def test_values_are_shown_before_they_are_written(reals: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    shown: list[str] = []
    options = EvaluationOptions(["is_lite0"], num_images=4, out=tmp_path / "file" / "records.jsonl")
    with pytest.raises(OSError, match=r"values above could not be written to .*records\.jsonl"):
        evaluate_folder(reals, options, show=lambda result: shown.append(result.line()))
    assert [line.split(":")[0] for line in shown] == ["is_lite0@4"]


def test_encoders_of_other_words_are_named(pictures: dict[str, Any], tmp_path: Path, caplog: Any) -> None:
    rng = np.random.default_rng(0)
    for number in range(4):
        Image.fromarray(rng.integers(0, 256, (32, 32, 3)).astype(np.uint8)).save(tmp_path / f"{number}.png")
        (tmp_path / f"{number}.txt").write_text(f"a red qwerty{number}")
    with caplog.at_level("INFO"):
        evaluate_folder(tmp_path, EvaluationOptions(["r_precision_damsm"]), encoders=pictures["folder"] / "run")
    (said,) = [line for line in caplog.messages if line.startswith("R-precision by the encoders of")]
    assert "pre-trained for ssagan_emoji_scl" in said
    assert "4 of 4 captions have words that they never saw and leave out (4 words: qwerty0, qwerty1" in said
    (record,) = [json.loads(line) for line in (tmp_path / "evaluations.jsonl").read_text().splitlines()]
    assert record["encoders"] == str(pictures["folder"] / "run")


def test_one_held_out_picture_is_compared_with_nothing() -> None:
    offer = Offer(
        reals="pictures", captions=True, repeats_labels=True, damsm=True, plain_backgrounds=False, num_reals=1
    )
    expected = "fd_lite0 compares with 2 or more real pictures, and the held-out split has 1: add pictures to it"
    with pytest.raises(ValueError, match=expected):
        applicable([PROTOCOLS["fd_lite0"]], offer)
    _, left_out = applicable([], offer)
    assert {"fd_lite0", "kid_lite0", "precision_lite2"} <= left_out.keys()
    _, left_out = applicable([], replace(offer, num_reals=3))
    assert "precision_lite0" in left_out
    assert "fd_lite0" not in left_out
