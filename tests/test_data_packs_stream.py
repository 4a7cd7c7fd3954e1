"""Pairs out of a stream: the same samples and the same distribution of labels as at random, in a bounded buffer."""

import logging
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from torch.utils.data import DataLoader

from ranks import run_on_ranks
from runs import small
from sclgan.data.captions import Vocabulary
from sclgan.data.packs import stream as streaming
from sclgan.data.packs.buffer import Item, PairBuffer
from sclgan.data.packs.read import Packed
from sclgan.data.packs.stream import Streamed
from sclgan.data.packs.write import pack
from sclgan.data.pairs import PairedBatches
from sclgan.data.sets.emoji import Emoji
from sclgan.data.types import Batch, Sample
from sclgan.runs.records import read_metrics
from sclgan.train import pretraining, training
from test_data_packs_shards import picture, resized
from test_data_packs_write import Few

SIZE, NUM_ROWS, PER_SHARD = 32, 120, 10
SHARES = (0.4, 0.3, 0.15, 0.1, 0.05)  # of the labels


class Plain:
    """A `Source` of plain pictures with uneven labels, in no order."""

    name, split, composes, as_stored = "plain", "train", False, False
    credits = ()
    label_names = tuple("abcde")

    def __init__(self) -> None:
        labels = np.repeat(np.arange(5), [round(share * NUM_ROWS) for share in SHARES])
        self.labels = [(int(label),) for label in np.random.default_rng(0).permutation(labels)]
        self.keys = [f"row{row}" for row in range(NUM_ROWS)]

    def __len__(self) -> int:
        return NUM_ROWS

    def sample(self, index: int) -> Sample:
        label = self.labels[index]
        captions = (f"row{index} of {self.label_names[label[0]]}",)
        return Sample(picture(index, size=(38, 38)), captions, label, self.split, self.keys[index])


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("pack") / "plain"
    pack([Plain()], out, size=SIZE, samples_per_shard=PER_SHARD)
    return out


def streamed(root: Path, *, batch_size: int = 8, buffer_size: int = 60, seed: int = 0, urls: str = "") -> Streamed:
    source = Packed("train", root=root)
    return Streamed(
        urls or f"{root}/train-{{000000..{NUM_ROWS // PER_SHARD - 1:06d}}}.tar",
        source,
        Vocabulary.of(source.captions(), max_words=4),
        num_views=2,
        batch_size=batch_size,
        image_size=SIZE,
        seed=seed,
        buffer_size=buffer_size,
    )


def rows(stream: Streamed, batches: list[Batch]) -> list[tuple[int, int, int, bool]]:
    """Row of the first view, row of the second, the pair's label, and whether there was a partner."""
    assert isinstance(stream.tokenizer, Vocabulary)
    words = stream.tokenizer.words
    found = []
    for batch in batches:
        first, second = (
            [int(words[t - 1].removeprefix("row")) for t in view.captions.tokens[:, 0]] for view in batch.views
        )
        found += list(zip(first, second, batch.labels.tolist(), batch.has_partner.tolist(), strict=True))
    return found


def test_an_epoch_shows_every_sample_once_with_partners_of_its_label(root):
    stream, labels = streamed(root), Plain().labels
    found = rows(stream, list(islice(stream.batches(0), NUM_ROWS // 8)))
    # The newer half of the buffer holds 30: so many of the next epoch may come before the last of this one.
    counts = Counter(first for first, *_ in found)
    assert len(counts) >= NUM_ROWS - 30
    assert max(counts.values()) <= 2
    for first, second, label, has_partner in found:
        assert labels[first] == labels[second] == (label,)
        assert has_partner == (first != second)


def test_captions_that_the_text_encoder_cannot_read_are_left_out_and_counted(root, caplog):
    stream = streamed(root)
    stream.tokenizer = Vocabulary([f"row{number}" for number in range(NUM_ROWS - 1)], max_words=4)
    for batch in islice(stream.batches(0), 2 * NUM_ROWS // 8):
        assert (batch.views[0].captions.lengths > 0).all()
    (warning,) = caplog.messages
    assert "captions without a word of the vocabulary" in warning


def test_labels_are_distributed_as_in_random_access(root):
    """Total variation at most 0.02 beyond what two samples of this size differ by, over 20 epochs."""
    stream, source = streamed(root), Packed("train", root=root)
    random_access = PairedBatches(source, stream.tokenizer, num_views=2, batch_size=8, image_size=SIZE, seed=0)
    num = 20 * NUM_ROWS // 8

    def shares(batches):
        counts = Counter(label for _, _, label, has_partner in rows(stream, batches) if has_partner)
        total = sum(counts.values())
        return np.array([counts[label] / total for label in range(5)]), total / (8 * num)

    of_stream, with_partner = shares(list(islice(stream.batches(0), num)))
    of_random, _ = shares([random_access[step] for step in range(num)])
    assert np.abs(of_stream - of_random).sum() / 2 < 0.02
    # The arithmetic of docs/large-data.md: an anchor is alone with probability sum_l p_l (1 - p_l)^(buffer - 1).
    alone = sum(p * (1 - p) ** 59 for p in SHARES)
    assert abs((1 - with_partner) - alone) < 0.01


def test_partners_are_uniform_over_the_buffer():
    items = [Item(number, ("0.tar", number), b"", ["a"], [number % 2]) for number in range(8)]
    buffer = PairBuffer(iter(items * 2), 16)
    counts: Counter[int] = Counter()
    anchor = buffer.anchor(np.random.default_rng(0))
    for seed in range(3000):
        label, (partner,) = buffer.partners(anchor, 1, np.random.default_rng(seed))
        assert label == anchor.number % 2
        counts[partner.number] += 1
    assert set(counts) == {n for n in range(8) if n % 2 == anchor.number % 2} - {anchor.number}
    assert max(counts.values()) - min(counts.values()) < 150


def test_a_picture_is_never_its_own_partner_at_the_end_of_an_epoch():
    data = [("0.tar", place) for place in range(12)]
    epochs = (Item(n, data[n % 12], b"", ["a"], [n % 3, 3]) for n in range(10**6))
    buffer, rng = PairBuffer(epochs, 24), np.random.default_rng(0)  # holds two epochs at a time
    for _ in range(300):
        anchor = buffer.anchor(rng)
        label, partners = buffer.partners(anchor, 2, rng)
        assert all(partner.origin != anchor.origin and label in partner.labels for partner in partners)
    alone = PairBuffer((Item(n, data[0], b"", ["a"], [0]) for n in range(8)), 4)
    anchor = alone.anchor(rng)
    assert alone.partners(anchor, 1, rng) == (0, [anchor])


def test_rarer_labels_of_several_are_drawn_more_often_and_only_those_that_others_have():
    labels = [[0, 1, 2], *([0] for _ in range(8)), [1]]
    buffer = PairBuffer(iter([Item(i, ("0.tar", i), b"", ["a"], own) for i, own in enumerate(labels)]), 20)
    rng = np.random.default_rng(0)
    while (anchor := buffer.anchor(rng)).number != 0:
        buffer._half -= 1  # no more samples come
    drawn = Counter(buffer.partners(anchor, 1, np.random.default_rng(seed))[0] for seed in range(2000))
    assert drawn[2] == 0
    assert drawn[0] / 2000 == pytest.approx((1 / 9) / (1 / 9 + 1 / 2), abs=0.03)


def test_the_buffer_stays_bounded_and_consistent():
    rng = np.random.default_rng(0)
    endless = (Item(n, ("0.tar", n), b"", ["a"], rng.choice(50, size=2, replace=False).tolist()) for n in range(10**6))
    buffer = PairBuffer(endless, 100)
    draw = np.random.default_rng(1)
    for turn in range(3000):
        anchor = buffer.anchor(draw)
        label, partners = buffer.partners(anchor, 2, draw)
        assert all(label in one.labels for one in partners)
        if turn % 500 == 0:
            inside = {item.number for item in (*buffer._fresh, *buffer._used)}
            assert len(inside) <= 100
            assert {one.number for members in buffer._of_label.values() for one in members} == inside


def test_samples_without_labels_have_a_label_of_their_own(root, tmp_path):
    pack([Few(Emoji("train"), 12)], tmp_path / "pack", size=SIZE, samples_per_shard=4)
    stream = streamed(tmp_path / "pack", urls=f"{root}/train-000000.tar", buffer_size=8)
    stream.source._numbers_are_labels, stream.source.label_names = False, ["no number"]  # none of the stream's
    batch = next(stream.batches(0))
    assert len(set(batch.labels.tolist())) == 8
    assert min(batch.labels) >= 1
    assert not batch.has_partner.any()


@pytest.mark.parametrize("num_workers", [0, 2])
def test_the_order_is_a_function_of_the_seed_and_workers_share_the_samples(root, num_workers):
    def first(seed: int, start: int = 0) -> list[tuple[int, int, int, bool]]:
        stream = streamed(root, seed=seed)
        loader = DataLoader(stream.from_step(start), batch_size=None, num_workers=num_workers)
        return rows(stream, list(islice(loader, 8)))

    assert first(0) == first(0)
    assert first(0) != first(1)
    assert first(0) != first(0, start=5)
    assert len({row for row, *_ in first(0)}) >= 40  # of 64; workers that read the same would show 32 twice


def shown_by_rank(root: Path) -> list[tuple[int, int, int, bool]]:
    stream = streamed(root, buffer_size=4)
    return rows(stream, list(islice(stream.batches(0), 12)))


def test_ranks_read_shards_of_their_own(root):
    parts = run_on_ranks(shown_by_rank, 2, root)
    assert [len(part) for part in parts] == [48, 48]  # each has half of every batch
    shown = [{first for first, *_ in part} for part in parts]
    assert len(shown[0] & shown[1]) < 8  # of the second epoch alone
    with pytest.raises(Exception, match="1 shards cannot be divided among 2 processes"):
        run_on_ranks(one_shard, 2, root)


def one_shard(root: Path) -> Batch:
    return next(streamed(root, urls=f"{root}/train-000000.tar").batches(0))


def test_damaged_shards_and_samples_are_named_and_left_out(root, tmp_path, caplog):
    for number in range(4):
        content = (root / f"train-{number:06d}.tar").read_bytes()
        if number == 1:
            content = content[:3000]
        if number == 2:
            content = content.replace(b'"captions"', b'"headline"')
        (tmp_path / f"{number}.tar").write_bytes(content)
    (tmp_path / "0.tar").unlink()
    stream = streamed(root, urls=f"{tmp_path}/{{0..3}}.tar", buffer_size=16)
    with caplog.at_level(logging.WARNING):
        found = rows(stream, list(islice(stream.batches(0), 4)))
    assert {first // PER_SHARD for first, *_ in found} <= {1, 3}
    assert "it has no caption with a word" in caplog.text
    assert "0.tar" in caplog.text
    with pytest.raises(ValueError, match=r"none of 1 shards holds a sample that can be read, as .*0\.tar"):
        next(streamed(root, urls=f"{tmp_path}/0.tar").batches(0))


@pytest.mark.parametrize(
    ("size", "told"),
    [
        (b"\x80" + b"\0" * 4 + b"\x04" + b"\0" * 6, "1,125,899,906,842,624 bytes"),
        (b"77777777777\0", "8,589,934,591 bytes"),
    ],
    ids=["2^50", "8 GB"],
)
def test_a_member_that_claims_terabytes_ends_its_shard_at_once(root, tmp_path, caplog, size, told):
    content = (root / "train-000000.tar").read_bytes()
    (tmp_path / "0.tar").write_bytes(resized(content, b"000000004.jpg", size))
    with (tmp_path / "0.tar").open("r+b") as file:
        file.truncate(2**34)  # with holes, so that there is something to read
    (tmp_path / "1.tar").write_bytes(content)
    stream = streamed(root, urls=f"{tmp_path}/{{0..1}}.tar", buffer_size=16)
    with caplog.at_level(logging.WARNING):
        found = rows(stream, list(islice(stream.batches(0), 4)))
    assert {first for first, *_ in found} == set(range(10))
    assert f"0.tar: '000000004.jpg' claims {told}; at most 268,435,456 are read" in caplog.text


def test_the_buffer_is_bounded_in_bytes():
    sizes = np.random.default_rng(0).integers(1, 200, 400)
    items = [Item(n, ("0.tar", n), bytes(size), ["a"], [n % 3]) for n, size in enumerate(sizes)]
    items[50].image = bytes(10_000)  # more than the whole buffer
    buffer, rng = PairBuffer(iter(items), 4096, 4000), np.random.default_rng(0)
    seen, most = [], 0
    with suppress(StopIteration):
        while True:
            anchor = buffer.anchor(rng)
            seen.append(anchor.number)
            partners = buffer.partners(anchor, 1, rng)[1]
            assert partners[0].labels == anchor.labels
            held = {id(item): item.num_bytes for label in buffer._of_label.values() for item in label}
            most = max(most, sum(held.values()) - (10_001 if id(items[50]) in held else 0))
    assert len(set(seen)) == len(seen) > 350
    assert 3000 < most <= 4000 + 2 * 200


def test_what_is_missing_is_said_at_the_start(root, monkeypatch):
    with pytest.raises(ValueError, match="buffer_size at least 2, not 2, 8 and 1"):
        streamed(root, buffer_size=1)
    monkeypatch.setattr(streaming, "webdataset", None)
    with pytest.raises(ValueError, match=r"pip install 'sclgan\[stream\]'"):
        streamed(root)


def test_both_phases_train_on_a_stream(tmp_path):
    root = tmp_path / "pack"
    pack([Few(Emoji("train"), 60), Few(Emoji("test"), 20)], root, size=64, samples_per_shard=20)
    urls = f"{root}/train-{{000000..000002}}.tar"
    made = small("ssagan_emoji_scl")
    with pytest.raises(ValueError, match="--stream needs a pack for the vocabulary and the labels"):
        pretraining.pretrain(made, tmp_path / "no", stream=urls)
    made = replace(made, source=partial(Packed, root=str(root)))
    training.train(made, tmp_path / "run", stream=urls)
    records = read_metrics(tmp_path / "run")
    assert records[-1]["step"] == 2
    assert records[-1]["pairs/with_partner"] > 0
