"""Accumulators between pictures and metrics: pictures go in batch by batch and rank by rank, an estimate comes out.

Most metrics are functions of rows, so one class keeps rows for all of them; the Frechet distance keeps statistics.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from sclgan import distributed
from sclgan.evaluation.batches import Features, PictureBatch
from sclgan.evaluation.protocols import EvaluationProtocol
from sclgan.features.registry import Classifier, Extractor, Matcher
from sclgan.metrics.background import background_accuracy, has_named_background
from sclgan.metrics.clip_score import clip_score
from sclgan.metrics.diversity import intra_class_diversity
from sclgan.metrics.estimate import Estimate
from sclgan.metrics.frechet import frechet_estimate
from sclgan.metrics.gaussian import Gaussian
from sclgan.metrics.inception_score import inception_score
from sclgan.metrics.kernel import kernel_distance, kernel_distance_of_subsets
from sclgan.metrics.precision_recall import share_within
from sclgan.metrics.probe import LinearProbe, class_accuracy
from sclgan.metrics.retrieval import r_precision
from sclgan.metrics.statistics import BlockStatistics

Columns = Mapping[str, Tensor]
"""Rows of all samples by the name of what they hold, in the order of the samples' numbers."""


@runtime_checkable
class Measure(Protocol):
    """Keeps of the pictures it sees what a protocol needs."""

    needs_reference: bool

    def update(self, batch: PictureBatch, features: Features) -> None: ...

    def over_ranks(self) -> "Measure":
        """The measure of every rank's pictures, the same on every rank."""
        ...

    def estimate(self, reference: "Measure | LinearProbe | None") -> Estimate:
        """The value; `reference` holds real pictures, or a classifier fitted to them, where `needs_reference`."""
        ...


@dataclass
class Rows:
    """Rows with the numbers of their samples."""

    indices: list[Tensor] = field(default_factory=list)
    columns: dict[str, list[Tensor]] = field(default_factory=dict)

    def add(self, indices: Tensor, columns: Columns) -> None:
        """Adds the rows of a batch."""
        self.indices.append(indices.cpu())
        for name, rows in columns.items():
            self.columns.setdefault(name, []).append(rows.detach().cpu())

    def over_ranks(self) -> "Rows":
        """The rows of every rank in the order of the samples, the same on every rank."""
        own = (torch.cat(self.indices), self.whole()) if self.indices else None
        parts = [part for part in distributed.gather_objects(own) if part is not None]
        rows = Rows()
        if parts:
            indices = torch.cat([indices for indices, _ in parts])
            order = indices.argsort()
            columns = {name: torch.cat([part[name] for _, part in parts])[order] for name in parts[0][1]}
            rows.add(indices[order], columns)
        return rows

    def whole(self) -> dict[str, Tensor]:
        """All rows of each column."""
        return {name: torch.cat(parts) for name, parts in self.columns.items()}


@dataclass
class RowMeasure:
    """Any metric that is a function of rows: `keep` takes the columns of a batch, `value` computes from all of them.

    `value` gets the rows of the generated pictures and the reference: the rows of real pictures, a classifier, or
    None. Features are held in float32: 246 MB for 30,000 pictures of 2,048 features.
    """

    keep: Callable[[PictureBatch, Features], Columns]
    value: Callable[[Columns, Columns | LinearProbe | None], Estimate]
    needs_reference: bool = False
    rows: Rows = field(default_factory=Rows)

    def update(self, batch: PictureBatch, features: Features) -> None:
        self.rows.add(batch.indices, self.keep(batch, features))

    def over_ranks(self) -> "RowMeasure":
        return replace(self, rows=self.rows.over_ranks())

    def estimate(self, reference: Measure | LinearProbe | None) -> Estimate:
        if isinstance(reference, RowMeasure):
            return self.value(self.rows.whole(), reference.rows.whole())
        if self.needs_reference and not isinstance(reference, LinearProbe):
            raise ValueError("the metric compares with real pictures, and none were measured for it")
        return self.value(self.rows.whole(), reference if isinstance(reference, LinearProbe) else None)


class Frechet:
    """Mean and covariance of features: of the pictures it saw, or as `known` from a file."""

    needs_reference: bool = True

    def __init__(
        self, extractor: Extractor, statistics: BlockStatistics | None = None, *, known: Gaussian | None = None
    ) -> None:
        self.extractor, self.known = extractor, known
        self.statistics = statistics or BlockStatistics(extractor.num_features)

    @property
    def gaussian(self) -> Gaussian:
        """Mean and covariance of all pictures."""
        if self.known is not None:
            return self.known
        whole = self.statistics.whole().gaussian
        return replace(whole, extractor=self.extractor.name, weights_sha256=self.extractor.weights_sha256)

    def update(self, batch: PictureBatch, features: Features) -> None:
        self.statistics.update(features[self.extractor.name], batch.indices)

    def over_ranks(self) -> "Frechet":
        return Frechet(self.extractor, self.statistics.over_ranks(), known=self.known)

    def estimate(self, reference: Measure | LinearProbe | None) -> Estimate:
        if not isinstance(reference, Frechet):
            raise ValueError("the Frechet distance needs the statistics of real pictures")
        return frechet_estimate(reference.gaussian, self.statistics)


def new_measure(protocol: EvaluationProtocol, extractors: Mapping[str, Extractor], seed: int) -> Measure:
    """An empty accumulator for the protocol.

    Raises:
        ValueError: the metric cannot use the extractor: the Inception Score needs one that classifies, a comparison
            with captions one that reads them.
    """
    extractor = None if protocol.extractor is None else extractors[protocol.extractor]
    folds = protocol.num_folds
    match protocol.metric, extractor:
        case "background_accuracy", _:
            return RowMeasure(_backgrounds, lambda own, _: background_accuracy(own["has_named_background"]))
        case "r_precision", _:
            return RowMeasure(_codes, partial(_r_precision, num_folds=folds, seed=seed))
        case "frechet", extractor if extractor is not None:
            return Frechet(extractor)
        case "kernel", extractor if extractor is not None:
            return RowMeasure(kept_features(extractor), _kernel, needs_reference=True)
        case "kernel_subsets", extractor if extractor is not None:
            value = partial(_kernel_of_subsets, num_subsets=folds, seed=seed)
            return RowMeasure(kept_features(extractor), value, needs_reference=True)
        case "precision", extractor if extractor is not None:
            return RowMeasure(kept_features(extractor), _precision, needs_reference=True)
        case "recall", extractor if extractor is not None:
            return RowMeasure(kept_features(extractor), _recall, needs_reference=True)
        case "diversity", extractor if extractor is not None:
            return RowMeasure(kept_features(extractor), partial(_diversity, seed=seed))
        case "class_accuracy" | "class_accuracy_top5", extractor if extractor is not None:
            top = 1 if protocol.metric == "class_accuracy" else 5
            return RowMeasure(kept_features(extractor), partial(_class_accuracy, top=top), needs_reference=True)
        case "inception_score", extractor if isinstance(extractor, Classifier):
            value = partial(_inception_score, classifier=extractor, num_splits=folds, seed=seed)
            return RowMeasure(kept_features(extractor), value)
        case "clip_score", extractor if isinstance(extractor, Matcher):
            return RowMeasure(_matched(extractor), lambda own, _: clip_score(own["images"], own["texts"]))
        case "clip_r_precision", extractor if isinstance(extractor, Matcher):
            return RowMeasure(_matched(extractor), partial(_r_precision, num_folds=folds, seed=seed))
    raise ValueError(f"protocol {protocol.name!r}: metric {protocol.metric!r} cannot use extractor {extractor}")


# Columns that metrics need of a batch


def kept_features(extractor: Extractor) -> Callable[[PictureBatch, Features], Columns]:
    """Keeps the features of the extractor, and the labels."""
    name = extractor.name
    return lambda batch, features: {"features": features[name], "labels": batch.labels}


def _matched(matcher: Matcher) -> Callable[[PictureBatch, Features], Columns]:
    """Keeps pictures and captions in the common space of the matcher."""

    def keep(batch: PictureBatch, features: Features) -> Columns:
        return {"images": features[matcher.name], "texts": matcher.texts(batch.captions), "labels": batch.labels}

    return keep


def _codes(batch: PictureBatch, _: Features) -> Columns:
    if batch.image_codes is None or batch.text_codes is None:
        raise ValueError("R-precision needs image_codes and text_codes in every batch: encode pictures and captions")
    return {"images": batch.image_codes, "texts": batch.text_codes, "labels": batch.labels}


def _backgrounds(batch: PictureBatch, _: Features) -> Columns:
    return {"has_named_background": has_named_background(batch.images, batch.captions)}


# Values from the rows of generated pictures and the reference


def _features_of(reference: Columns | LinearProbe | None) -> Tensor:
    if reference is None or isinstance(reference, LinearProbe):
        raise ValueError("the metric needs the features of real pictures")
    return reference["features"]


def _kernel(own: Columns, reference: Columns | LinearProbe | None) -> Estimate:
    return kernel_distance(_features_of(reference), own["features"])


def _kernel_of_subsets(
    own: Columns, reference: Columns | LinearProbe | None, *, num_subsets: int, seed: int
) -> Estimate:
    reals, fakes = _features_of(reference), own["features"]
    subset_size = min(1000, len(reals), len(fakes))  # fewer in a trial run; the interval's kind says so
    return kernel_distance_of_subsets(reals, fakes, num_subsets=num_subsets, subset_size=subset_size, seed=seed)


def _precision(own: Columns, reference: Columns | LinearProbe | None) -> Estimate:
    return share_within(own["features"], _features_of(reference))


def _recall(own: Columns, reference: Columns | LinearProbe | None) -> Estimate:
    return share_within(_features_of(reference), own["features"])


def _diversity(own: Columns, _: Columns | LinearProbe | None, *, seed: int) -> Estimate:
    return intra_class_diversity(own["features"], own["labels"], seed=seed)


def _class_accuracy(own: Columns, reference: Columns | LinearProbe | None, *, top: int) -> Estimate:
    if not isinstance(reference, LinearProbe):
        raise ValueError("class accuracy needs a classifier fitted to real training pictures")
    return class_accuracy(reference, own["features"], own["labels"], top=top)


def _inception_score(
    own: Columns, _: Columns | LinearProbe | None, *, classifier: Classifier, num_splits: int, seed: int
) -> Estimate:
    probabilities = classifier.probabilities(own["features"])
    num_splits = min(num_splits, len(probabilities))  # fewer in a trial run; the interval's kind says so
    return inception_score(probabilities, num_splits=num_splits, seed=seed)


def _r_precision(own: Columns, _: Columns | LinearProbe | None, *, num_folds: int, seed: int) -> Estimate:
    num_folds = min(num_folds, len(own["labels"]))  # as above
    return r_precision(own["images"], own["texts"], own["labels"], num_folds=num_folds, seed=seed)
