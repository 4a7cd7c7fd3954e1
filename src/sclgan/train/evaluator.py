"""Evaluation while the GAN trains: a small protocol every so many steps, and the best checkpoint by it.

Pictures and features stay in memory. Captions and noise are functions of the recipe's seed, the same each time, so
that values of different steps are comparable; the training draws no random number from here.
"""

import logging

from sclgan import distributed
from sclgan.data.types import Source
from sclgan.evaluation.applicable import unavailable
from sclgan.evaluation.comparison import composed_reals, with_training
from sclgan.evaluation.measured import measure
from sclgan.evaluation.protocols import EvaluationProtocol, protocols_named
from sclgan.evaluation.reals import Reals
from sclgan.evaluation.results import Result, results_of
from sclgan.evaluation.run import SPLIT, generated
from sclgan.evaluation.training_reals import why_none
from sclgan.features.registry import EXTRACTORS
from sclgan.recipe import Training
from sclgan.runs import checkpoint
from sclgan.runs.opened import Run
from sclgan.train.loop import Hook
from sclgan.train.splits import Splits

log = logging.getLogger(__name__)


def protocols_of(settings: Training) -> list[EvaluationProtocol]:
    """The protocols that the evaluations of a training measure; empty where it has no evaluations.

    Raises:
        ValueError: there is no such protocol, none is named, or there are fewer than 2 images.
    """
    if settings.evaluate_every == 0:
        return []
    protocols = protocols_named(settings.evaluate_protocols)
    if not protocols or settings.evaluate_every < 0 or settings.evaluate_images < 2:
        raise ValueError("training: evaluations need a protocol and at least 2 images; evaluate_every=0 makes none")
    return protocols


def evaluations(run: Run, splits: Splits) -> list[Hook]:
    """The hook that the recipe of `run` asks for; none, with the reason in the log, where a protocol lacks its weights.

    `run.gan` draws with the averaged generator as it is when the hook is called.
    """
    settings = run.recipe.training
    protocols = protocols_of(settings)
    missing = {p.name: reason for p in protocols if (reason := unavailable(p)) is not None}
    if missing and distributed.rank() == 0:
        log.info("no evaluation in training: %s", "; ".join(f"{name}: {why}" for name, why in missing.items()))
    return [Hook(settings.evaluate_every, Evaluator(run, protocols, splits))] if protocols and not missing else []


class Evaluator:
    """Grades the averaged generator and keeps the best one; every rank calls it."""

    def __init__(self, run: Run, protocols: list[EvaluationProtocol], splits: Splits) -> None:
        self.run, self.protocols = run, protocols
        self.source: Source = splits[SPLIT]
        self.training: Source | None = None
        if fitted := [p.name for p in protocols if p.num_fitted]:
            self.training = splits["train"]
            if (reason := why_none(self.training, self.source)) is not None:
                raise ValueError(f"training.evaluate_protocols: {', '.join(fitted)} {reason}")
        names = sorted({p.extractor for p in protocols if p.extractor is not None})
        self.extractors = {name: EXTRACTORS[name](device=distributed.device()) for name in names}
        self._reals: Reals | None = None

    def __call__(self, step: int) -> dict[str, float]:
        """The value of each protocol by its label, for the records."""
        recipe = self.run.recipe
        fakes = generated(self.run, self.source, recipe.training.evaluate_images, seed=recipe.seed)
        measured = measure(self.protocols, fakes, seed=recipe.seed, extractors=self.extractors)
        if self._reals is None:
            reals = composed_reals(measured, self.source, num_floor=0)
            self._reals = with_training(reals, measured, self.training, self.source, floor=False)
        results = results_of(measured, self._reals)
        if distributed.rank() == 0:
            self._keep_best(results[0], step)
        return {f"evaluation/{result.label}": result.value for result in results}

    def _keep_best(self, result: Result, step: int) -> None:
        """Saves the generator where it is better than the best so far, or where that was found by another protocol."""
        folder = self.run.folder / "checkpoints"
        best = checkpoint.best_score(folder)
        sign = 1 if result.better == "higher" else -1
        if best is None or best["protocol"] != result.label or sign * result.value > sign * best["value"]:
            score = {"step": step, "protocol": result.label, "value": result.value, "better": result.better}
            checkpoint.save_best(folder, self.run.gan.generator, score)
