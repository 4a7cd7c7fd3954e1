"""The other ways to use a label, trained: their terms in both phases, and what they need."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from fakes import Squares
from runs import SCL, assert_identical, small
from sclgan.data.captions import Vocabulary
from sclgan.data.pairs import PairedBatches
from sclgan.data.types import Batch
from sclgan.losses.classification import label_cross_entropy
from sclgan.losses.contrastive import quadruple
from sclgan.runs import checkpoint
from sclgan.runs.encoders import load_encoders
from sclgan.runs.folder import saved_recipe
from sclgan.runs.records import read_metrics
from sclgan.train import gan_phase, pretraining, training
from sclgan.train.gan_phase import GANPhase
from sclgan.train.label_terms import label_terms


@pytest.mark.parametrize(
    ("name", "term"),
    [
        ("ssagan_emoji_unicl", "contrast"),
        ("ssagan_emoji_ce", "cross_entropy"),
        ("ssagan_emoji_cl", "nt_xent"),
        ("galip_emoji_ce", "cross_entropy"),
        ("ssagan_scenes_ce", "cross_entropy"),
    ],
)
def test_each_way_trains_both_phases(tmp_path, name, term):
    data = ["source.num_scenes=24"] if "scenes" in name else []
    training.train(small(name, *data), tmp_path / "run")
    assert f"g/{term}" in read_metrics(tmp_path / "run")[-1]
    assert term in read_metrics(tmp_path / "run" / "pretraining")[-1]
    holds = "label_classifier.weight" in load_file(tmp_path / "run" / "encoders.safetensors")
    assert holds == (term == "cross_entropy")


def test_a_classifier_resumes_bit_for_bit(tmp_path):
    for folder, steps in (("at_once", (3,)), ("resumed", (2, 3))):
        for last in steps:
            pretraining.pretrain(small("ssagan_emoji_ce", f"pretraining.steps={last}"), tmp_path / folder)
    folders = [checkpoint.latest(tmp_path / one / "checkpoints") for one in ("at_once", "resumed")]
    assert_identical(*(load_file(folder / "encoders.safetensors") for folder in folders if folder))


def test_cross_entropy_in_the_gan_phase_needs_its_classifier(trained, tmp_path):
    with pytest.raises(ValueError, match="were pre-trained without 'cross_entropy'"):
        training.train(small("ssagan_emoji_ce"), tmp_path / "run", encoders=trained)


def test_the_contrast_is_on_what_the_head_makes_of_codes_and_the_gan_phase_keeps_the_head(trained, tmp_path):
    made = small(SCL, "pretraining.projection=8")
    training.train(made, tmp_path / "run")
    kept, before = (load_file(tmp_path / one / "encoders.safetensors") for one in ("run", "run/pretraining"))
    assert_identical(kept, before)
    assert kept["projection.2.weight"].shape == (8, 8)

    encoders, _ = load_encoders(tmp_path / "run", made)
    codes = torch.randn(4, 3, encoders.code_size, generator=torch.Generator().manual_seed(0)).requires_grad_()
    batch = Batch((), torch.tensor([0, 1, 1]), torch.ones(3, dtype=torch.bool), None)
    found = label_terms(made.training, {"contrast": 1.0}, codes[:2].unbind(), codes[2:].unbind(), batch, encoders)
    assert encoders.projection is not None
    first, second, third, fourth = encoders.projection(codes)
    temperature = made.training.temperature
    expected = quadruple([first, second], [third, fourth], batch.labels, temperature=temperature)
    torch.testing.assert_close(found["contrast"], expected)
    found["contrast"].backward()
    assert codes.grad is not None
    assert codes.grad[2:].abs().min() > 0
    assert all(weight.grad is None for weight in encoders.projection.parameters())

    with pytest.raises(ValueError, match=r"pretraining\.projection is 8, but the encoders were pre-trained without"):
        training.train(made, tmp_path / "other", encoders=trained)
    with pytest.raises(ValueError, match=r"pretraining\.projection is None, but the encoders were pre-trained with a"):
        training.train(small(SCL), tmp_path / "another", encoders=tmp_path / "run")


def test_a_head_without_the_contrast_is_refused(tmp_path):
    with pytest.raises(ValueError, match="projection is a head of 'contrast'"):
        pretraining.pretrain(small("ssagan_emoji", "pretraining.projection=8"), tmp_path / "run")


def test_a_row_is_its_own_partner_with_another_caption_and_crop(caplog):
    source = Squares(per_label=1, labelled=False)
    made: dict[str, Any] = {"num_views": 2, "batch_size": 4, "image_size": 16, "seed": 0, "label_rule": "itself"}
    batches = PairedBatches(source, Vocabulary.of(source.captions(), max_words=8), **made)
    batch = batches[0]
    first, second = (view.captions.tokens.sort(dim=1).values for view in batch.views)
    assert torch.equal(first, second)  # the same words, in another order
    assert not torch.equal(batch.views[0].captions.tokens, batch.views[1].captions.tokens)
    assert not torch.equal(batch.views[0].image, batch.views[1].image)
    assert not batch.has_partner.any()
    assert not caplog.records


@pytest.mark.parametrize("phase", ["pretraining", "training"])
def test_cross_entropy_is_a_mean_over_views_and_codes_as_the_contrast_is(phase: str, trained: Path) -> None:
    """A sum would weigh it four times as much in pre-training as one set of codes, and twice in the GAN phase."""
    made = small("ssagan_emoji_ce")
    encoders, _ = load_encoders(trained, saved_recipe(trained))
    encoders.add_label_classifier(3)
    assert encoders.label_classifier is not None
    codes, labels = torch.randn(6, encoders.code_size), torch.tensor([0, 1, 2, 0, 1, 2])
    batch = Batch((), labels, torch.ones(6, dtype=torch.bool), None)
    settings = made.pretraining if phase == "pretraining" else made.training
    terms = label_terms(settings, {"cross_entropy": 1.0}, [codes, codes], [codes, codes], batch, encoders)
    expected = label_cross_entropy(encoders.label_classifier(codes), labels)
    torch.testing.assert_close(terms["cross_entropy"], expected)


@pytest.mark.parametrize("rule", ["shared", "attributes"])
def test_real_codes_join_the_contrast_of_the_gan_phase_alone(rule: str, tmp_path: Path) -> None:
    """The term is the contrast of texts, fakes and reals, and the gradient reaches the generator as before."""
    made = small(SCL, "training.contrast_reals=true", f"label_rule={rule}", "training.steps=1", "pretraining.steps=1")
    training.train(made, tmp_path / "run")
    encoders, tokenizer = load_encoders(tmp_path / "run", made)
    seen: list[Any] = []

    def noted(*given: Any, **more: Any) -> Any:
        seen.append((given, more))
        return label_terms(*given, **more)

    gan = training.with_feature_discriminator(made.gan(encoders, image_size=made.image_size), made, encoders)
    phase = GANPhase(gan, encoders, made.training, seed=0)
    batches = PairedBatches(
        made.source("train"), tokenizer, num_views=2, batch_size=4, image_size=64, seed=0, label_rule=made.label_rule
    )
    batch = batches[0].to(torch.device("cpu"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(gan_phase, "label_terms", noted)
        logs = phase.step(batch, 1)
    ((_, _, texts, fakes, _, _), more) = seen[0]
    augments = phase.augmentations(batch, 1)
    reals = [encoders.encode_image(a(v.image)).image for a, v in zip(augments, batch.views, strict=True)]
    torch.testing.assert_close(more["reals"], reals)
    temperature = made.training.temperature
    expected = quadruple(texts, [*fakes, *reals], batch.labels, temperature=temperature, label_sets=batch.label_sets)
    torch.testing.assert_close(logs["g/contrast"], expected.detach())
    without = quadruple(texts, fakes, batch.labels, temperature=temperature, label_sets=batch.label_sets)
    assert not torch.allclose(expected, without)


def test_cross_entropy_does_not_take_attributes(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'cross_entropy' of pretraining tells labels apart, not attributes"):
        pretraining.pretrain(small("ssagan_emoji_ce", "label_rule=attributes"), tmp_path / "run")
