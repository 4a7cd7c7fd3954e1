"""One accumulator for each metric: pictures go in batch by batch and rank by rank, an estimate comes out.

The metrics themselves stand in their own files; here is only what each needs to keep of a picture.
"""

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from sclgan.evaluation.kept import Features, GeneratedBatch, Measure, OfFeatures, Rows
from sclgan.evaluation.protocols import EvaluationProtocol
from sclgan.features.registry import Classifier, Extractor, Matcher
from sclgan.metrics.background import GroundAccuracy
from sclgan.metrics.clip_score import clip_score
from sclgan.metrics.diversity import IntraClassDiversity
from sclgan.metrics.frechet import frechet_estimate
from sclgan.metrics.inception_score import inception_score
from sclgan.metrics.kernel import kernel_distance, kernel_distance_of_subsets
from sclgan.metrics.precision_recall import share_within
from sclgan.metrics.probe import LinearProbe
from sclgan.metrics.proportion import proportion
from sclgan.metrics.retrieval import r_precision
from sclgan.metrics.statistics import BlockStatistics, Estimate, Gaussian


def new_measure(protocol: EvaluationProtocol, extractors: Mapping[str, Extractor], seed: int) -> Measure:
    """An empty accumulator for the protocol.

    Raises:
        ValueError: the Inception-Score form is asked of an extractor that does not classify, a comparison with
            captions of one that does not read them.
    """
    extractor = None if protocol.extractor is None else extractors[protocol.extractor]
    match protocol.metric, extractor:
        case "ground", _:
            return _Ground()
        case "r_precision", _:
            return _RPrecision(protocol.num_folds, seed)
        case "frechet", extractor if extractor is not None:
            return Frechet(extractor)
        case "kernel", extractor if extractor is not None:
            return _Kernel(extractor)
        case "kernel_subsets", extractor if extractor is not None:
            return _Subsets(extractor, protocol.num_folds, seed)
        case "precision" | "recall", extractor if extractor is not None:
            return _Within(extractor, fakes_in_reals=protocol.metric == "precision")
        case "diversity", extractor if extractor is not None:
            return _Diversity(extractor.name, seed)
        case "class_accuracy" | "class_accuracy_top5", extractor if extractor is not None:
            return ClassAccuracy(extractor, top=1 if protocol.metric == "class_accuracy" else 5)
        case "inception_score", extractor if isinstance(extractor, Classifier):
            return _InceptionScore(extractor, protocol.num_folds, seed)
        case "clip_score", extractor if isinstance(extractor, Matcher):
            return _CLIPScore(extractor)
        case "clip_r_precision", extractor if isinstance(extractor, Matcher):
            return _RPrecision(protocol.num_folds, seed, matcher=extractor)
    raise ValueError(f"protocol {protocol.name!r}: metric {protocol.metric!r} cannot use extractor {extractor}")


class Frechet:
    """Mean and covariance of features: of pictures that were seen, or as `known` from a file."""

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

    def update(self, batch: GeneratedBatch, features: Features) -> None:
        self.statistics.update(features[self.extractor.name], batch.indices)

    def over_ranks(self) -> "Frechet":
        return Frechet(self.extractor, self.statistics.over_ranks(), known=self.known)

    def estimate(self, reference: Measure | None) -> Estimate:
        if not isinstance(reference, Frechet):
            raise ValueError("the Frechet distance needs the statistics of real pictures")
        return frechet_estimate(reference.gaussian, self.statistics)


class _Kernel(OfFeatures):
    def estimate(self, reference: Measure | None) -> Estimate:
        if not isinstance(reference, _Kernel):
            raise ValueError("the kernel distance needs the features of real pictures")
        return kernel_distance(reference.features, self.features)


class _Subsets(OfFeatures):
    def __init__(self, extractor: Extractor, num_subsets: int, seed: int) -> None:
        super().__init__(extractor)
        self.num_subsets, self.seed = num_subsets, seed

    def estimate(self, reference: Measure | None) -> Estimate:
        if not isinstance(reference, _Subsets):
            raise ValueError("the kernel distance needs the features of real pictures")
        reals, fakes = reference.features, self.features
        subset_size = min(1000, len(reals), len(fakes))  # a trial run of few samples; the interval's kind says it
        return kernel_distance_of_subsets(
            reals, fakes, num_subsets=self.num_subsets, subset_size=subset_size, seed=self.seed
        )


class _Within(OfFeatures):
    def __init__(self, extractor: Extractor, *, fakes_in_reals: bool) -> None:
        super().__init__(extractor)
        self.fakes_in_reals = fakes_in_reals

    def estimate(self, reference: Measure | None) -> Estimate:
        if not isinstance(reference, _Within):
            raise ValueError("precision and recall need the features of real pictures")
        reals, fakes = reference.features, self.features
        return share_within(fakes, reals) if self.fakes_in_reals else share_within(reals, fakes)


class ClassAccuracy(OfFeatures):
    """Generated pictures that are to be classified; as the reference, training pictures and the `probe` of them."""

    def __init__(self, extractor: Extractor, *, top: int) -> None:
        super().__init__(extractor)
        self.top = top
        self.probe: LinearProbe | None = None

    @property
    def labels(self) -> Tensor:
        return self.rows.whole()["labels"]

    def estimate(self, reference: Measure | None) -> Estimate:
        if not isinstance(reference, ClassAccuracy) or reference.probe is None:
            raise ValueError("the accuracy of classes needs a classifier fitted to real training pictures")
        probe, labels = reference.probe, self.labels
        num_known = int(probe.knows(labels).sum())
        if num_known == 0:
            raise ValueError("no caption is of a label that the training pictures have: grade more pictures")
        num_right = int(probe.right(self.features, labels, top=self.top).sum())
        return proportion(num_right, num_known, f"pictures, chance {min(1, self.top / len(probe.classes)):.2g}")


class _InceptionScore(OfFeatures):
    needs_reference: bool = False

    def __init__(self, classifier: Classifier, num_splits: int, seed: int) -> None:
        super().__init__(classifier)
        self.classifier, self.num_splits, self.seed = classifier, num_splits, seed

    def estimate(self, reference: Measure | None) -> Estimate:
        del reference
        probabilities = self.classifier.probabilities(self.features)
        num_splits = min(self.num_splits, len(probabilities))  # a trial run of few samples; the interval's kind says it
        return inception_score(probabilities, num_splits=num_splits, seed=self.seed)


class _RPrecision:
    """Of the batch's codes, or of a matcher's."""

    needs_reference: bool = False

    def __init__(self, num_folds: int, seed: int, *, matcher: Matcher | None = None, rows: Rows | None = None) -> None:
        self.num_folds, self.seed, self.matcher, self.rows = num_folds, seed, matcher, rows or Rows()

    def update(self, batch: GeneratedBatch, features: Features) -> None:
        if self.matcher is not None:
            images, texts = features[self.matcher.name], self.matcher.texts(batch.captions)
        elif batch.image_codes is None or batch.text_codes is None:
            raise ValueError(
                "R-precision needs image_codes and text_codes in every batch: encode pictures and captions"
            )
        else:
            images, texts = batch.image_codes, batch.text_codes
        self.rows.add(batch.indices, images=images, texts=texts, labels=batch.labels)

    def over_ranks(self) -> "_RPrecision":
        return _RPrecision(self.num_folds, self.seed, matcher=self.matcher, rows=self.rows.over_ranks())

    def estimate(self, reference: Measure | None) -> Estimate:
        del reference
        rows = self.rows.whole()
        num_folds = min(self.num_folds, len(rows["labels"]))  # as above
        return r_precision(rows["images"], rows["texts"], rows["labels"], num_folds=num_folds, seed=self.seed)


class _CLIPScore:
    needs_reference: bool = False

    def __init__(self, matcher: Matcher, rows: Rows | None = None) -> None:
        self.matcher, self.rows = matcher, rows or Rows()

    def update(self, batch: GeneratedBatch, features: Features) -> None:
        texts = self.matcher.texts(batch.captions)
        self.rows.add(batch.indices, images=features[self.matcher.name], texts=texts)

    def over_ranks(self) -> "_CLIPScore":
        return _CLIPScore(self.matcher, self.rows.over_ranks())

    def estimate(self, reference: Measure | None) -> Estimate:
        del reference
        rows = self.rows.whole()
        return clip_score(rows["images"], rows["texts"])


class _Diversity:
    needs_reference: bool = False

    def __init__(self, extractor: str, seed: int) -> None:
        self.extractor, self.seed, self.diversity = extractor, seed, IntraClassDiversity()

    def update(self, batch: GeneratedBatch, features: Features) -> None:
        self.diversity.update(features[self.extractor], batch.labels)

    def over_ranks(self) -> "_Diversity":
        whole = _Diversity(self.extractor, self.seed)
        whole.diversity = self.diversity.over_ranks()
        return whole

    def estimate(self, reference: Measure | None) -> Estimate:
        del reference
        return self.diversity.estimate(seed=self.seed)


class _Ground:
    needs_reference: bool = False

    def __init__(self) -> None:
        self.accuracy = GroundAccuracy()

    def update(self, batch: GeneratedBatch, features: Features) -> None:
        del features
        self.accuracy.update(batch.images, batch.captions)

    def over_ranks(self) -> "_Ground":
        whole = _Ground()
        whole.accuracy = self.accuracy.over_ranks()
        return whole

    def estimate(self, reference: Measure | None) -> Estimate:
        del reference
        return self.accuracy.estimate()
