"""The batches of a phase, as its recipe asks for them: from files by row, or from shards in a stream."""

from collections.abc import Callable
from functools import partial

from sclgan.data.packs.read import Packed
from sclgan.data.packs.stream import Streamed
from sclgan.data.pairs import PairedBatches
from sclgan.data.types import Source
from sclgan.encoders.base import Tokenizer
from sclgan.recipe import Pretraining, Recipe, Training


def training_batches(
    recipe: Recipe, source: Source, tokenizer: Tokenizer, phase: Pretraining | Training, stream: str | None
) -> PairedBatches | Streamed:
    """The batches of a phase; with `stream` the pictures come from these shards, and the rest from `source`, a pack.

    Raises:
        ValueError: the data do not fit the recipe; see `PairedBatches`.
    """
    make: Callable[..., PairedBatches | Streamed] = PairedBatches
    if stream is not None:
        if not isinstance(source, Packed):
            raise ValueError(
                f"--stream needs a pack for the vocabulary and the labels, not '{source.name}': name one with --data"
            )
        make = partial(Streamed, stream)
    return make(
        source,
        tokenizer,
        num_views=phase.num_views,
        batch_size=phase.batch_size,
        image_size=image_size_of(recipe, phase),
        seed=recipe.seed,
        label_rule=recipe.label_rule,
        thin_to=recipe.max_words if recipe.long_captions == "thin" else None,
    )


def image_size_of(recipe: Recipe, phase: Pretraining | Training) -> int:
    """Side of the pictures of a phase in pixels."""
    own = phase.image_size if isinstance(phase, Pretraining) else None
    return own or recipe.image_size
