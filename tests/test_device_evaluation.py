"""Drawing and measuring on a pretended GPU: samples, grids, scores, evaluation in training, every feature network."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.models import resnet50

from pretended_gpu import pretended_gpu
from runs import small
from sclgan.encoders.clip import CLIP
from sclgan.features import networks
from sclgan.features.registry import EXTRACTORS, Classifier, Extractor, Matcher
from sclgan.runs import checkpoint
from sclgan.runs.encoders import encoders_class
from sclgan.runs.opened import Run
from sclgan.train.evaluator import Evaluator, protocols_of
from sclgan.train.pretraining import Score, new_encoders
from sclgan.train.sample_grid import SampleGrid
from sclgan.train.splits import Splits
from sclgan.train.training import new_phase
from weight_files import inception_state, put, randomised

GRADED = ("fd_lite0", "kid_lite0", "precision_lite0", "recall_lite0", "background_accuracy")


def test_scores_grids_samples_and_evaluations(tmp_path):
    graded = ("evaluate_every=1", "evaluate_images=12", f"evaluate_protocols={','.join(GRADED)}")
    recipe = small("galip_emoji", *(f"training.{field}" for field in graded))
    splits = Splits(recipe)
    tokenizer = encoders_class(recipe).tokenizer.of(splits["train"].captions(), max_words=recipe.max_words)
    with pretended_gpu() as gpu:
        encoders = new_encoders(recipe, tokenizer, num_labels=len(splits["train"].label_names))
        scores = Score(recipe, encoders, tokenizer, splits, tmp_path)(0)
        assert {"retrieval/mean", "zero_shot/top1"} <= scores.keys()
        encoders.requires_grad_(False).eval()
        _, drawing = new_phase(recipe, encoders)
        run = Run(tmp_path, recipe, 0, encoders, tokenizer, drawing)
        SampleGrid(recipe, splits["test"], drawing, encoders, tokenizer, tmp_path / "grids").save(1)
        assert (tmp_path / "grids" / "step_00000001.png").exists()
        assert run.sample(["a red apple"], num_images=2, seed=0).shape == (2, 3, recipe.image_size, recipe.image_size)
        found = Evaluator(run, protocols_of(recipe.training), splits)(1)
        assert len(found) == len(GRADED)
        assert checkpoint.best_score(tmp_path / "checkpoints") is not None
        assert "convolution" in gpu.operators


SMALL: dict[str, Any] = {"code_size": 16, "num_text_blocks": 2, "num_text_heads": 2}
SMALL |= {"image_size": 32, "patch_size": 8, "image_width": 24, "num_image_blocks": 2, "num_image_heads": 2}


@pytest.mark.parametrize("name", [name for name in EXTRACTORS if name not in ("inception-cub", "clip-vit-l-14")])
def test_a_feature_network_reads_pictures_of_the_device_and_of_the_cpu(name, tmp_path, monkeypatch):
    """The larger CLIP is the smaller one with other sizes."""
    if name.startswith("inception"):
        ported = name != "inception@t2i_legacy"
        key = "inception-2015" if ported else "inception-torchvision"
        put(monkeypatch, tmp_path, key, inception_state(1008 if ported else 1000, auxiliary=not ported))
    elif name.startswith("dino"):
        put(monkeypatch, tmp_path, "dino-resnet-50", _without_classifier())
    elif name.startswith("clip"):
        put(monkeypatch, tmp_path, name, CLIP(weights=None, **SMALL).clip.state_dict())
    with pretended_gpu() as gpu:
        device = torch.device("cuda", 0)
        extractor: Extractor
        if name.startswith("clip"):
            extractor = networks.CLIPExtractor(name, weights=name, sizes=SMALL, device=device)
        else:
            extractor = EXTRACTORS[name](device=device)
        pictures = torch.zeros(2, 3, 40, 40, dtype=torch.uint8)
        gpu.operators.clear()
        for given in (pictures, pictures.to(device)):
            features = extractor(given)
            assert features.shape == (2, extractor.num_features)
            assert features.device.type == "cpu"
        assert gpu.operators & {"convolution", "addmm", "mm"}
        assert not gpu.operators & {"mkldnn_reorder_conv2d_weight", "_convolution_pointwise"}
        if isinstance(extractor, Classifier):
            assert extractor.probabilities(features).device.type == "cpu"
        if isinstance(extractor, Matcher):
            assert extractor.texts(["a bird", "a kite"]).shape == features.shape


def _without_classifier() -> dict[str, Tensor]:
    network = randomised(resnet50(weights=None))
    return {key: tensor for key, tensor in network.state_dict().items() if not key.startswith("fc.")}
