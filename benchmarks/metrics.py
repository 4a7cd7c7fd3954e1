"""The metrics beside recognised implementations, on the same features or random weights: difference and CPU time.

    python benchmarks/metrics.py

Seconds are of the processor, so that other work on the machine counts little. The Frechet distance and whole folders
are measured in `benchmarks/evaluation.py`.
"""

import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor, nn
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric
from torchmetrics.functional import cosine_similarity
from torchmetrics.functional.retrieval import retrieval_r_precision
from torchvision.models import Inception3

from sclgan.features.inception_tf import Inception
from sclgan.features.networks import prepare_legacy, prepare_tf1
from sclgan.metrics.clip_score import clip_score
from sclgan.metrics.inception_score import inception_score
from sclgan.metrics.kernel import kernel_distance_of_subsets
from sclgan.metrics.precision_recall import share_within
from sclgan.metrics.retrieval import _rows_of_other_labels, r_precision

Timed = Callable[[], float | Tensor]


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def row(what: str, package: str, ours: Timed, theirs: Timed) -> None:
    """One line of the table; the difference is relative to the largest value."""
    seconds, values = [], []
    for compute in (ours, theirs):
        began = time.process_time()
        values.append(torch.as_tensor(compute(), dtype=torch.float64))
        seconds.append(time.process_time() - began)
    difference = float((values[0] - values[1]).abs().max() / values[1].abs().max())
    print(f"| {what} | {package} {version(package)} | {difference:.1e} | {seconds[0]:.2f} s | {seconds[1]:.2f} s |")


def networks() -> None:
    """Features of 16 pictures of 256 pixels, after one batch that warms up."""
    images = torch.randint(0, 256, (16, 3, 256, 256), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    port = _randomised(Inception3(num_classes=1008, aux_logits=False, init_weights=False))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.pth"
        torch.save(port.state_dict(), path)
        fidelity = FeatureExtractorInceptionV3("inception", ["2048"], feature_extractor_weights_path=str(path))
    ours = Inception(port.state_dict(), poolings="tensorflow")
    whole = _randomised(Inception3(num_classes=1000, aux_logits=False, transform_input=False, init_weights=False))
    legacy = Inception(whole.state_dict(), poolings="torchvision")
    whole.fc = nn.Identity()

    def in_chunks(features: Callable[[Tensor], Tensor]) -> Timed:
        features(images[:8])
        return lambda: torch.cat([features(chunk) for chunk in torch.split(images, 8)])

    with torch.no_grad():
        row(
            "FID's features, 16 pictures",
            "torch-fidelity",
            in_chunks(lambda x: ours(prepare_tf1(x))),
            in_chunks(lambda x: fidelity(x)[0]),
        )
        row(
            "legacy features, 16 pictures",
            "torchvision",
            in_chunks(lambda x: legacy(prepare_legacy(x))),
            in_chunks(lambda x: whole(prepare_legacy(x))),
        )


def metrics() -> None:
    """The metrics on random features of realistic widths."""
    logits = 3 * normal(10_000, 1008, seed=0)
    order = torch.randperm(10_000, generator=torch.Generator().manual_seed(0))
    row(
        "Inception Score, 10,000 x 1,008",
        "torch-fidelity",
        lambda: inception_score(logits.softmax(dim=1)).value,
        lambda: isc_features_to_metric(logits[order], shuffle=False)["inception_score_mean"],
    )
    x, y = normal(1_000, 2_048, seed=1), 0.1 + normal(1_000, 2_048, seed=2)
    options = {"kid_subsets": 1, "kid_subset_size": 1_000, "verbose": False}
    row(
        "KID, one subset of 1,000 x 2,048",
        "torch-fidelity",
        lambda: kernel_distance_of_subsets(x, y, num_subsets=1).value,
        lambda: kid_features_to_metric(x.double(), y.double(), **options)["kernel_inception_distance_mean"],
    )
    # Of few directions, as features are: else no point is near another.
    mixing = normal(16, 2_048, seed=3)
    reals, fakes = normal(5_000, 16, seed=4) @ mixing, 0.8 * normal(5_000, 16, seed=5) @ mixing
    row(
        "precision, recall, 5,000 x 2,048",
        "torch-fidelity",
        lambda: torch.tensor([share_within(fakes, reals).value, share_within(reals, fakes).value]),
        lambda: _precision_recall(fakes, reals),
    )
    texts, labels = normal(2_000, 256, seed=6), torch.arange(2_000) % 50
    images = texts + 2 * normal(2_000, 256, seed=7)
    row(
        "R-precision, 2,000 x 256",
        "torchmetrics",
        lambda: r_precision(images, texts, labels).value,
        lambda: _r_precision(images, texts, labels),
    )
    row(
        "CLIP score, 2,000 x 256",
        "torchmetrics",
        lambda: clip_score(images, texts).value,
        lambda: cosine_similarity(images, texts, reduction="mean"),
    )


def _precision_recall(fakes: Tensor, reals: Tensor) -> Tensor:
    values = prc_features_to_metric(fakes, reals, verbose=False)
    return torch.tensor([values["precision"], values["recall"]])


def _r_precision(images: Tensor, texts: Tensor, labels: Tensor) -> Tensor:
    """Query by query over the same candidates."""
    target = torch.arange(100) == 0
    wrong = _rows_of_other_labels(labels, torch.Generator().manual_seed(0))
    hits = [
        retrieval_r_precision(torch.cosine_similarity(image[None], torch.cat([text[None], texts[rows]])), target)
        for image, text, rows in zip(images, texts, wrong, strict=True)
    ]
    return torch.stack(hits).double().mean()


def _randomised(network: Inception3) -> Inception3:
    """Weights that keep the size of activations."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, generator=generator)
    return network.eval()


if __name__ == "__main__":
    print(f"{torch.get_num_threads()} threads")
    print("| metric | recognised implementation | largest difference, relative | ours | theirs |")
    print("|---|---|---|---|---|")
    networks()
    metrics()
