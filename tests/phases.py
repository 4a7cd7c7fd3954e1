"""Both phases of a recipe, on this rank's device, with the batches of each."""

from dataclasses import dataclass
from functools import cache

from runs import small
from sclgan.data.pairs import PairedBatches
from sclgan.data.types import Source
from sclgan.encoders.base import Tokenizer
from sclgan.recipe import Recipe
from sclgan.recipes import recipe
from sclgan.runs.encoders import encoders_class
from sclgan.train.batches import training_batches
from sclgan.train.gan_phase import GANPhase
from sclgan.train.pretraining import new_encoders
from sclgan.train.pretraining_phase import PretrainingPhase
from sclgan.train.training import new_phase


@dataclass
class Both:
    """The phases and their batches; the second phase trains on encoders that the first may have trained."""

    pretraining: PretrainingPhase
    training: GANPhase
    batches: tuple[PairedBatches, PairedBatches]

    @property
    def in_turn(self) -> list[tuple[PretrainingPhase | GANPhase, PairedBatches]]:
        """Each phase with its batches."""
        return [(self.pretraining, self.batches[0]), (self.training, self.batches[1])]

    def freeze(self) -> None:
        """Ends the first phase."""
        self.pretraining.encoders.requires_grad_(False).eval()


def both_phases(made: Recipe) -> Both:
    """The phases of a recipe on the emoji source, with new networks."""
    source, tokenizer = _opened(encoders_class(made).tokenizer, made.max_words)
    batches = [training_batches(made, source, tokenizer, phase, None) for phase in (made.pretraining, made.training)]
    first, second = (one for one in batches if isinstance(one, PairedBatches))
    encoders = new_encoders(made, tokenizer, num_labels=len(source.label_names))
    pretraining = PretrainingPhase(encoders, made.pretraining, steps_per_epoch=2)
    training, _ = new_phase(made, encoders)
    return Both(pretraining, training, (first, second))


@cache
def _opened(kind: type[Tokenizer], max_words: int) -> tuple[Source, Tokenizer]:
    source = recipe("ssagan_emoji").source("train")
    return source, kind.of(source.captions(), max_words=max_words)


def few(name: str, *fields: str, world_size: int = 1) -> Recipe:
    """The recipe with two pictures for each rank and, where D judges features, one map of them."""
    maps = () if "galip" in name else ("feature_discriminator.maps=3",)
    sizes = [f"{phase}.batch_size={2 * world_size}" for phase in ("pretraining", "training")]
    return small(name, *sizes, *maps, *fields)
