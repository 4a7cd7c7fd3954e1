"""DAMSM: a bi-directional LSTM over words and two linear heads on a frozen image trunk, matched by words and sentence.

Xu et al. 2018, "AttnGAN", section 3.2. AttnGAN, DM-GAN and SSA-GAN train on it.
"""

from collections.abc import Callable, Collection
from functools import partial
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt, Interval
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from sclgan.data.captions import Vocabulary
from sclgan.data.types import Captions
from sclgan.distributed import copied
from sclgan.encoders.base import Backbone, Encoders, ImageCodes, MultiScaleBackbone, NoTrunk, TextCodes
from sclgan.losses.matching import sentence_loss, words_loss
from sclgan.losses.terms import Terms


class DAMSM(Encoders):
    """The encoder pair and its losses.

    `num_words` is the size of the vocabulary, padding included; `backbone` builds the image trunk. `gammas` sharpen the
    attention over regions, the sum over words and the softmax over rivals. With `save_backbone` checkpoints hold the
    trunk too: that of the published encoders equals no public one, since their pre-training moved its running
    statistics. With `mask_same_label` other pairs of a row's label are not its rivals, as in the authors' code on CUB;
    their code for COCO has no labels.
    """

    tokenizer = Vocabulary

    def __init__(
        self,
        num_words: int,
        backbone: Callable[[], Backbone],
        *,
        code_size: Annotated[int, Ge(2)] = 256,
        embedding_size: Annotated[int, Ge(1)] = 300,
        dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.5,
        gammas: Annotated[tuple[float, float, float], Gt(0)] = (4.0, 5.0, 10.0),
        save_backbone: bool = False,
        mask_same_label: bool = True,
    ) -> None:
        super().__init__()
        trunk = backbone()
        self.mask_same_label = mask_same_label
        self.code_size, self.gammas = code_size, gammas
        self.saves_trunk = save_backbone
        self.frozen_prefixes = () if save_backbone else ("image_encoder.backbone.",)
        self.text_encoder = TextEncoder(num_words, code_size=code_size, embedding_size=embedding_size, dropout=dropout)
        self.image_encoder = ImageEncoder(trunk, code_size=code_size)
        self.map_channels = trunk.map_channels if isinstance(trunk, MultiScaleBackbone) else ()

    @classmethod
    def for_texts(cls, constructor: Callable[[int], Encoders]) -> Callable[[int], Encoders]:
        """`constructor` without the image trunk, which is most of the pair."""
        assert isinstance(constructor, partial)  # a DAMSM needs a backbone among its arguments
        lazy: Any = constructor.keywords["backbone"]
        trunk: Any = lazy.func if isinstance(lazy, partial) else lazy
        width = partial(
            NoTrunk,
            region_channels=trunk.region_channels,
            pooled_channels=trunk.pooled_channels,
            map_channels=trunk.map_channels if isinstance(trunk, MultiScaleBackbone) else (),
        )
        return partial(constructor, backbone=width, save_backbone=False)

    def encode_text(self, captions: Captions) -> TextCodes:
        """Codes of tokenised captions; see `TextEncoder`."""
        codes: TextCodes = self.text_encoder(captions)
        return codes

    def encode_image(self, image: Float[Tensor, "b 3 h w"]) -> ImageCodes:
        """Codes of images in [-1, 1] of any size; differentiable in the image."""
        codes: ImageCodes = self.image_encoder(image)
        return codes

    def matching_terms(self, text: TextCodes, image: ImageCodes, labels: Int[Tensor, " b"] | None) -> Terms:
        """The pre-training terms L_w = w0 + w1 and L_s = s0 + s1, each image to text plus text to image."""
        return matching_terms(text, image, labels if self.mask_same_label else None, gammas=self.gammas)

    def text_parameters(self) -> list[nn.Parameter]:
        """The parameters of the text encoder."""
        return list(self.text_encoder.parameters())

    def trainable_parameters(self) -> list[nn.Parameter]:
        """The text encoder and the two heads of the image encoder."""
        return [p for p in self.parameters() if p.requires_grad]


class TextEncoder(nn.Module):
    """Embedding, dropout, one bi-directional LSTM (AttnGAN section 3.2, "the text encoder").

    Words are [forward | backward] states, the sentence is [last forward | last backward] state. Words come out with
    t = tokens.shape[1] and zeros at padding. Parameter names are those of the reference code.

    Reference quirk: the embedding of id 0 (padding and end) is an ordinary row. Kept for released weights; codes do not
    depend on it, since packed sequences hold only real words.
    """

    def __init__(
        self, num_words: int, *, code_size: int = 256, embedding_size: int = 300, dropout: float = 0.5
    ) -> None:
        super().__init__()
        if code_size % 2:
            raise ValueError(f"code_size is split between two directions and must be even, got {code_size}")
        self.code_size = code_size
        self.encoder = nn.Embedding(num_words, embedding_size)
        self.drop = nn.Dropout(dropout)
        self.rnn = nn.LSTM(embedding_size, code_size // 2, batch_first=True, bidirectional=True)
        nn.init.uniform_(self.encoder.weight, -0.1, 0.1)

    def forward(self, captions: Captions) -> TextCodes:
        """Codes of the words and of the whole captions.

        Raises:
            ValueError: a caption has no word, or claims more words than it has tokens.
        """
        tokens, lengths = captions.tokens, captions.lengths.cpu()
        num_tokens = tokens.shape[1]
        if len(lengths) and not 1 <= int(lengths.min()) <= int(lengths.max()) <= num_tokens:
            bad = [row for row, length in enumerate(lengths.tolist()) if not 1 <= length <= num_tokens]
            raise ValueError(
                f"captions must have 1 to {num_tokens} words, rows {bad} have {lengths[bad].tolist()}: "
                "leave out captions that hold no word of the vocabulary"
            )
        # Sorted here and not by torch, which would make the host wait for the device.
        descending, order = lengths.sort(descending=True)
        back = copied(order.argsort(), tokens.device)
        embedded = self.drop(self.encoder(tokens)).index_select(0, copied(order, tokens.device))
        states, (last, _) = self.rnn(pack_padded_sequence(embedded, descending, batch_first=True))
        words, _ = pad_packed_sequence(states, batch_first=True, total_length=num_tokens)  # [b t d]
        words, last = words.index_select(0, back), last.index_select(1, back)
        mask = torch.arange(num_tokens, device=tokens.device) < copied(lengths, tokens.device)[:, None]
        return TextCodes(sentence=last.transpose(0, 1).flatten(1), words=words.transpose(1, 2), mask=mask)


class ImageEncoder(nn.Module):
    """Two linear heads on a frozen trunk: region codes and one image code.

    The parameters of the trunk take no gradient, and it stays in eval mode whatever `train()` says. This differs from
    the reference code, whose pre-training puts the trunk in train mode: it then normalises by batch statistics, and its
    running statistics drift from the public ones.
    """

    def __init__(self, backbone: Backbone, *, code_size: int = 256) -> None:
        super().__init__()
        if not isinstance(backbone, nn.Module):
            raise TypeError(f"the backbone must be an nn.Module, got {type(backbone).__name__}")
        self.backbone = backbone.requires_grad_(False).eval()
        self.emb_features = nn.Conv2d(backbone.region_channels, code_size, 1, bias=False)
        self.emb_cnn_code = nn.Linear(backbone.pooled_channels, code_size)
        nn.init.uniform_(self.emb_features.weight, -0.1, 0.1)
        nn.init.uniform_(self.emb_cnn_code.weight, -0.1, 0.1)

    def train(self, mode: bool = True) -> "ImageEncoder":
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> ImageCodes:
        maps: tuple[Tensor, ...] = ()
        if isinstance(self.backbone, MultiScaleBackbone):
            features, pooled, maps = self.backbone.with_maps(image)
        else:
            features, pooled = self.backbone(image)
        return ImageCodes(image=self.emb_cnn_code(pooled), regions=self.emb_features(features), maps=maps)


def matching_terms(
    text: TextCodes,
    image: ImageCodes,
    labels: Int[Tensor, " b"] | None,
    *,
    gammas: tuple[float, float, float],
    only: Collection[str] = ("words", "sentence"),
) -> Terms:
    """L_w and L_s of AttnGAN as the terms `words` and `sentence`, with the gammas of the caller's paper."""
    gamma1, gamma2, gamma3 = gammas
    terms: Terms = {}
    if "words" in only:
        w0, w1 = words_loss(text.words, text.mask, image.regions, labels, gamma1=gamma1, gamma2=gamma2, gamma3=gamma3)
        terms["words"] = w0 + w1
    if "sentence" in only:
        s0, s1 = sentence_loss(text.sentence, image.image, labels, gamma3=gamma3)
        terms["sentence"] = s0 + s1
    return terms
