"""Weights from local files: where they are looked for, verified, and what is said of those that are missing."""

import os
from pathlib import Path

import pytest
import torch

from sclgan.evaluation import applicable
from sclgan.evaluation.applicable import unavailable
from sclgan.evaluation.listing import listing
from sclgan.evaluation.protocols import PROTOCOLS
from sclgan.features import registry as features
from sclgan.weights import registry as weights
from weight_files import put

STATE = {"a": torch.zeros(3)}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No folder of this machine is looked into."""
    monkeypatch.delenv(weights.ENVIRONMENT, raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def test_a_missing_file_says_what_to_get_and_where_to_put_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError) as error:
        weights.verified("inception-2015")
    said = str(error.value)
    known = weights.FILES["inception-2015"]
    assert all(part in said for part in (*known.names, known.url, known.page, "96 MB", *known.names.values()))
    assert f"put it in {tmp_path / 'home' / '.cache' / 'sclgan'}" in said
    monkeypatch.setenv(weights.ENVIRONMENT, str(tmp_path / "mine"))
    assert f"put it in {tmp_path / 'mine'}" in weights.instructions("dino-resnet-50")


@pytest.mark.parametrize(
    ("key", "place"),
    [
        ("inception-2015", "home/.cache/sclgan/weights-inception-2015-12-05-6726825d.pth"),
        ("inception-2015", "hub/checkpoints/pt_inception-2015-12-05-6726825d.pth"),
        ("inception-torchvision", "hub/checkpoints/inception_v3_google-1a9a5a14.pth"),
        ("clip-vit-b-32", "home/.cache/clip/ViT-B-32.pt"),
    ],
)
def test_the_folders_of_other_programs_are_looked_into(key: str, place: str, tmp_path: Path) -> None:
    path = tmp_path / place
    path.parent.mkdir(parents=True)
    path.write_bytes(b"other")
    with pytest.raises(ValueError, match=f"{path} has SHA-256 d9298a10d1b0.*damaged or another file"):
        weights.verified(key)


def test_the_hash_is_computed_once_until_the_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(monkeypatch, tmp_path, "clip-vit-b-32", STATE)
    assert weights.verified("clip-vit-b-32")[0] == path
    sha256 = weights.verified("clip-vit-b-32")[1]
    content, status = path.read_bytes(), path.stat()
    path.write_bytes(content[:-1] + b"x")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert weights.verified("clip-vit-b-32") == (path, sha256)  # the same size and time: taken for the same
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    with pytest.raises(ValueError, match="damaged"):
        weights.verified("clip-vit-b-32")
    path.write_bytes(content)
    (tmp_path / weights.HASHES).write_text("[not json")
    assert weights.verified("clip-vit-b-32") == (path, sha256)


def test_every_extractor_of_a_protocol_is_known_and_its_weights_too() -> None:
    for protocol in PROTOCOLS.values():
        if protocol.extractor is not None:
            assert protocol.extractor in features.EXTRACTORS
            file = features.weights_of(protocol.extractor)
            assert file is None or file in weights.FILES
    used = {features.weights_of(p.extractor) for p in PROTOCOLS.values() if p.extractor is not None}
    assert weights.FILES.keys() <= used


def test_what_is_available(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = {name for name, protocol in PROTOCOLS.items() if unavailable(protocol) is None}
    lite = {f"{kind}_{by}" for kind in ("fd", "kid", "precision", "recall", "diversity") for by in ("lite0", "lite2")}
    offline = lite | {"is_lite0", "class_accuracy", "class_accuracy_top5"}
    assert here == offline | {"r_precision", "r_precision_damsm", "background_accuracy"}
    put(monkeypatch, tmp_path, "inception-2015", STATE)
    assert unavailable(PROTOCOLS["kid"]) is None
    (tmp_path / "ViT-L-14.pt").write_bytes(b"other")
    assert "damaged or another file" in str(unavailable(PROTOCOLS["clip_score_l14"]))
    missing = unavailable(PROTOCOLS["fid_t2i_legacy"])
    assert missing == "inception_v3_google-0cc3c7bd.pth is missing; `sclgan protocols` says where to get it"
    assert "cannot be read" in str(unavailable(PROTOCOLS["inception_score_cub"]))
    monkeypatch.setattr(applicable, "find_spec", lambda name: None)
    assert "pip install 'sclgan[clip]'" in str(unavailable(PROTOCOLS["clip_score"]))
    with pytest.raises(FileNotFoundError, match=r"run inception_score\.py of that page"):
        features.EXTRACTORS["inception-cub"](device=None)


def test_the_listing_names_every_protocol_and_each_missing_file_once() -> None:
    text = listing()
    for protocol in PROTOCOLS.values():
        assert f"\n\n{protocol.name}\n" in f"\n\n{text}"
        assert protocol.purpose in text
        assert protocol.used_by in text
    assert all(text.count(f"get {file.url} (") == 1 for file in weights.FILES.values())
