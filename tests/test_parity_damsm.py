"""DAMSM against numbers of the reference code at reduced width (`tests/parity/attngan.safetensors` holds them)."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from reference import FORWARD, GRADIENT, agree, attention_maps, damsm_of, hash_codes, hash_uniform, load, real_images
from sclgan.data.types import Captions
from sclgan.encoders.base import TextCodes
from sclgan.encoders.damsm import DAMSM
from sclgan.losses.matching import sentence_loss, words_loss

GAMMAS: dict[str, Any] = {"gamma1": 4.0, "gamma2": 5.0, "gamma3": 10.0}


@pytest.fixture(scope="module")
def stored() -> dict[str, Tensor]:
    return load("attngan")


@pytest.fixture(scope="module")
def damsm(stored: dict[str, Tensor]) -> DAMSM:
    return damsm_of(stored)


@pytest.fixture(scope="module")
def text(stored: dict[str, Tensor], damsm: DAMSM) -> TextCodes:
    with torch.no_grad():
        return damsm.encode_text(Captions(stored["in.captions"], stored["in.cap_lens"]))


def test_hash_inputs(stored: dict[str, Tensor]) -> None:
    probe = torch.cat([hash_uniform((3, 768, 17, 17), 1).flatten()[:8], hash_uniform((3, 2048), 2).flatten()[-8:]])
    torch.testing.assert_close(probe, stored["in.hash_probe"], rtol=0, atol=1e-7)


def test_text_encoder(stored: dict[str, Tensor], text: TextCodes) -> None:
    agree(text.words[:, :, :6], stored["out.text.words"], FORWARD)
    agree(text.sentence, stored["out.text.sent"], FORWARD)
    assert not text.words[:, :, 6].any()


def test_image_heads(stored: dict[str, Tensor], damsm: DAMSM) -> None:
    codes = hash_codes(damsm)
    agree(codes.regions, stored["out.image.regions"], FORWARD)
    agree(codes.image, stored["out.image.cnn_code"], FORWARD)
    codes = damsm.encode_image(real_images(stored))
    agree(codes.regions[:, :, ::4, ::4], stored["out.stub_real256.regions_sub"], FORWARD)
    agree(codes.image, stored["out.stub_real256.cnn_code"], FORWARD)


@pytest.mark.parametrize("images", ["hash", "stub"])
@pytest.mark.parametrize("classes", ["class", "noclass"])
def test_losses(stored: dict[str, Tensor], damsm: DAMSM, text: TextCodes, images: str, classes: str) -> None:
    labels = stored["in.class_ids"] if classes == "class" else None
    codes = hash_codes(damsm) if images == "hash" else damsm.encode_image(real_images(stored))
    w0, w1 = words_loss(text.words, text.mask, codes.regions, labels, **GAMMAS)
    s0, s1 = sentence_loss(text.sentence, codes.image, labels, gamma3=GAMMAS["gamma3"])
    for name, value in {"w0": w0, "w1": w1, "s0": s0, "s1": s1}.items():
        agree(value, stored[f"out.damsm.{images}_{classes}.{name}"], FORWARD)


def test_attention_maps(stored: dict[str, Tensor], damsm: DAMSM, text: TextCodes) -> None:
    maps = attention_maps(text.words, text.mask, hash_codes(damsm).regions, gamma1=GAMMAS["gamma1"])
    for row, length in enumerate(stored["in.cap_lens"].tolist()):
        agree(maps[row : row + 1, :length], stored[f"out.damsm.att_maps.{row}"], FORWARD)
        assert not maps[row, length:].any()


def test_gradients(stored: dict[str, Tensor], damsm: DAMSM, text: TextCodes) -> None:
    codes = hash_codes(damsm)
    codes.regions.retain_grad()
    codes.image.retain_grad()
    text = replace(text, words=text.words.clone().requires_grad_(), sentence=text.sentence.clone().requires_grad_())
    terms = damsm.matching_terms(text, codes, stored["in.class_ids"])
    (terms["words"] + terms["sentence"]).backward()
    assert text.words.grad is not None
    assert text.sentence.grad is not None
    assert codes.image.grad is not None
    assert codes.regions.grad is not None
    agree(text.words.grad[:, :, :6], stored["out.damsm.grad.words"], GRADIENT)
    agree(text.sentence.grad, stored["out.damsm.grad.sent"], GRADIENT)
    agree(codes.image.grad, stored["out.damsm.grad.cnn_code"], GRADIENT)
    agree(codes.regions.grad.norm(), stored["out.damsm.grad.regions_norm"], GRADIENT)
