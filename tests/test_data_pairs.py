import pytest
import torch
from torch.utils.data import DataLoader

from fakes import Squares
from ranks import run_on_ranks
from sclgan.data.captions import Vocabulary
from sclgan.data.pairs import PairedBatches
from sclgan.data.types import Batch

MAX_WORDS = 6


def batches(source: Squares, *, num_views: int = 2, batch_size: int = 4, seed: int = 0) -> PairedBatches:
    vocabulary = Vocabulary.of(source.captions(), max_words=MAX_WORDS)
    return PairedBatches(source, vocabulary, num_views=num_views, batch_size=batch_size, image_size=16, seed=seed)


def same(one: Batch, other: Batch) -> bool:
    views = zip(one.views, other.views, strict=True)
    return torch.equal(one.labels, other.labels) and all(
        torch.equal(a.image, b.image) and torch.equal(a.captions.tokens, b.captions.tokens) for a, b in views
    )


def test_an_epoch_shows_every_row_once_and_epochs_differ():
    source = Squares()
    drawn = batches(source, batch_size=5)  # 16 rows: batches straddle the epochs
    rows = [row for step in range(16) for row in drawn.rows(step)]
    epochs = [[anchor for epoch, anchor in rows if epoch == number] for number in range(5)]
    assert all(sorted(epoch) == list(range(16)) for epoch in epochs)
    assert epochs[0] != epochs[1]


def test_two_views_are_an_epoch_in_as_many_steps_as_twice_the_batch():
    one, two, twice = (batches(Squares(), num_views=v, batch_size=b) for v, b in ((1, 3), (2, 3), (1, 6)))
    assert (one.steps_per_epoch, two.steps_per_epoch, twice.steps_per_epoch) == (6, 3, 3)  # of 16 rows


def test_views_have_their_own_caption_and_augmentation_and_one_label():
    source = Squares()
    vocabulary = Vocabulary.of(source.captions(), max_words=MAX_WORDS)
    batch = batches(source, batch_size=16)[0]
    first, second = batch.views
    assert batch.has_partner.all()
    assert not torch.equal(first.image, second.image)
    for row in range(16):
        colour = vocabulary.words.index(source.label_names[int(batch.labels[row])]) + 1
        assert colour in first.captions.tokens[row]
        assert colour in second.captions.tokens[row]
    assert first.image.dtype == torch.uint8
    floats = first.to(torch.device("cpu")).image
    assert torch.equal(floats, first.image.float().div(127.5).sub(1))
    assert floats.is_contiguous()


def test_an_image_alone_with_its_label_is_paired_with_itself():
    drawn = batches(Squares(per_label=1))
    assert [drawn[step].has_partner.double().mean().item() for step in range(3)] == [0, 0, 0]


@pytest.mark.parametrize("label_of", [lambda _: (), lambda _: (2,)], ids=["no labels", "one label"])
def test_labels_that_tell_nothing_apart_are_no_labels(label_of):
    source = Squares()
    source.labels = [label_of(row) for row in range(len(source))]
    batch = batches(source, num_views=1, batch_size=16)[0]
    assert len(set(batch.labels.tolist())) == 16  # every row is a label of its own


def test_one_view_is_the_first_of_two():
    assert same(
        Batch(batches(Squares())[3].views[:1], batches(Squares())[3].labels, torch.ones(4, dtype=torch.bool)),
        batches(Squares(), num_views=1)[3],
    )


@pytest.mark.parametrize("num_workers", [0, 2])
def test_order_and_pictures_do_not_depend_on_workers_or_on_where_a_run_resumed(num_workers):
    drawn = batches(Squares())
    loader = DataLoader(batches(Squares()), batch_size=None, sampler=range(3, 8), num_workers=num_workers)
    assert all(same(batch, drawn[step]) for step, batch in zip(range(3, 8), loader, strict=True))
    assert not same(batches(Squares(), seed=1)[3], drawn[3])


def batch_of_rank(step: int) -> Batch:
    return batches(Squares())[step]


def test_ranks_share_a_batch_between_them():
    whole = batches(Squares())[2]
    parts = run_on_ranks(batch_of_rank, 2, 2)
    for number, view in enumerate(whole.views):
        assert torch.equal(torch.cat([part.views[number].image for part in parts]), view.image)
    assert torch.equal(torch.cat([part.labels for part in parts]), whole.labels)


def test_a_batch_that_does_not_divide_among_the_ranks_is_refused():
    with pytest.raises(Exception, match="does not divide among 3 ranks"):
        run_on_ranks(batch_of_rank, 3, 0)
