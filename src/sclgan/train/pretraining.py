"""Phase 1 as a run: pre-trains a recipe's encoders into a folder, resumable."""

from pathlib import Path

import torch

from sclgan import distributed
from sclgan.data.captions import check_captions
from sclgan.encoders.base import Encoders, Tokenizer
from sclgan.recipe import Recipe
from sclgan.runs.data_record import check_data
from sclgan.runs.encoders import encoders_class, save_encoders
from sclgan.runs.folder import claim, held
from sclgan.runs.records import read_metrics
from sclgan.runs.tracking import TrackerName
from sclgan.train import loop
from sclgan.train.batches import image_size_of, training_batches
from sclgan.train.checks import check_objectives, check_recipe
from sclgan.train.pretraining_phase import PretrainingPhase
from sclgan.train.scores import retrieval, zero_shot
from sclgan.train.splits import Splits
from sclgan.train.step import check_finite


def pretrain(
    recipe: Recipe,
    out: Path,
    *,
    stream: str | None = None,
    num_workers: int | None = None,
    accept_changed_data: bool = False,
    splits: Splits | None = None,
    track: TrackerName | None = None,
) -> None:
    """Phase 1 into the folder `out`. `encoders.safetensors` is the epoch with the best retrieval so far.

    With `stream` the training pictures come from these shards instead, see `Streamed`; the recipe's source must be a
    pack, which gives the vocabulary, the labels and the held-out rows. `splits` are those of the recipe, if they are
    open already. `track` is a tracker that the records go to as well.

    Raises:
        ValueError: the recipe, the data or the folder do not fit; see `claim`, `check_data`, `PairedBatches`.
        StoppedError, DivergedError: see `loop.run`.
    """
    settings = recipe.pretraining
    check_recipe(recipe)
    if splits is None:  # or `train` has checked
        splits = Splits(recipe)
        check_objectives(recipe, splits["train"], ["pretraining"])
    source = splits["train"]
    kind = encoders_class(recipe).tokenizer
    kept = out / kind.file_name  # a run that continues reads its own words
    tokenizer = kind.load(kept) if kept.exists() else kind.of(source.captions(), max_words=recipe.max_words)
    batches = training_batches(recipe, source, tokenizer, settings, stream)
    recorded = splits.recorded()
    with held(out):
        claim(out, recipe, "pretraining")
        check_data(
            out,
            recorded,
            tokenizer=tokenizer,
            accept_changes=accept_changed_data,
            numbers_labels="cross_entropy" in settings.objective,
        )
        if kept.exists():
            check_captions(tokenizer, source.captions(), "training captions")
        check_captions(tokenizer, splits["test"].captions(), "test captions")
        encoders = new_encoders(recipe, tokenizer, num_labels=len(source.label_names))
        score = Score(recipe, encoders, tokenizer, splits, out)
        loop.run(
            PretrainingPhase(encoders, settings, steps_per_epoch=batches.steps_per_epoch),
            batches,
            out,
            title=f"pre-training {recipe.name}",
            steps=settings.steps,
            log_every=settings.log_every,
            checkpoint_every=settings.checkpoint_every,
            track=track,
            hooks=[loop.Hook(batches.steps_per_epoch, score, at_start=True)],
            num_workers=num_workers,
        )
        distributed.barrier()


def new_encoders(recipe: Recipe, tokenizer: Tokenizer, *, num_labels: int) -> Encoders:
    """The recipe's encoders with the heads that its objective needs, before they are trained."""
    torch.manual_seed(recipe.seed)
    encoders = recipe.encoders(tokenizer.num_tokens)
    if "cross_entropy" in recipe.pretraining.objective:
        encoders.add_label_classifier(num_labels)
    if recipe.pretraining.projection is not None:
        encoders.add_projection(recipe.pretraining.projection)
    return encoders.to(distributed.device()).train()


class Score:
    """Scores encoders on held-out pictures, and saves them where their retrieval is the best so far; rank 0 only."""

    def __init__(self, recipe: Recipe, encoders: Encoders, tokenizer: Tokenizer, splits: Splits, folder: Path) -> None:
        self.encoders, self.tokenizer, self.folder, self.seed = encoders, tokenizer, folder, recipe.seed
        self.train, self.held_out, self.unseen = splits["train"], splits["test"], splits.unseen
        self.image_size = image_size_of(recipe, recipe.pretraining)

    def __call__(self, step: int) -> dict[str, float]:
        """The scores by name, for the records."""
        if distributed.rank():
            return {}
        check_finite({"encoders": self.encoders})
        given = {"image_size": self.image_size, "seed": self.seed}
        values = retrieval(self.encoders, self.held_out, self.tokenizer, **given)
        record = {f"retrieval/{name}": value for name, value in values.items()}
        if self.unseen is not None:
            values = zero_shot(self.encoders, self.unseen, self.tokenizer, **given)
            record |= {f"zero_shot/{name}": value for name, value in values.items()}
        before = [r for r in read_metrics(self.folder) if "retrieval/mean" in r and r["step"] < step]
        if record["retrieval/mean"] >= max((r["retrieval/mean"] for r in before), default=0.0):
            save_encoders(self.folder, self.encoders, self.tokenizer, self.train)
        return record
