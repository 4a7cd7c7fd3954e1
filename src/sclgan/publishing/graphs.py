"""The two networks that draw, as modules of plain tensors for an exporter: text encoder and generator.

No size and no branch in them depends on the captions but for the number of rows, so an exporter can follow them.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from sclgan.encoders.base import Encoders, TextCodes
from sclgan.encoders.clip import CLIP
from sclgan.encoders.damsm import DAMSM, TextEncoder
from sclgan.gans.base import TextToImageGAN

Codes = tuple[Float[Tensor, "b d"], Float[Tensor, "b d t"], Bool[Tensor, "b t"]]
"""Sentence, words and mask of `TextCodes`."""

LSTM_OPSET = 14
"""The version of ONNX's set of operators whose LSTM is used; later sets of ours keep it."""


def text_graph(encoders: Encoders) -> nn.Module:
    """Tokens [b t] and lengths [b] to `Codes`, for the exporter.

    Raises:
        ValueError: there is no form of these encoders that can be exported.
    """
    if isinstance(encoders, DAMSM):
        return WordsGraph(encoders.text_encoder).eval()
    if isinstance(encoders, CLIP):
        return CLIPGraph(encoders).eval()
    raise ValueError(f"only text encoders of DAMSM and CLIP can be exported, not those of {type(encoders).__name__}")


class WordsGraph(nn.Module):
    """DAMSM's text encoder for ONNX, whose LSTM knows the lengths of its rows; runs within an export only.

    Packed sequences have no ONNX form. ONNX's LSTM stops each row at its length in either direction, gives zeros
    behind it and its own order of gates: input, output, forget, cell; torch has input, forget, cell, output.
    """

    weight_ih: Tensor
    weight_hh: Tensor
    bias: Tensor

    def __init__(self, text_encoder: TextEncoder) -> None:
        super().__init__()
        self.encoder, self.hidden_size = text_encoder.encoder, text_encoder.rnn.hidden_size
        self.register_buffer("weight_ih", _gates(text_encoder.rnn, "weight_ih"))  # [2 4h e], a row per direction
        self.register_buffer("weight_hh", _gates(text_encoder.rnn, "weight_hh"))
        biases = [_gates(text_encoder.rnn, name) for name in ("bias_ih", "bias_hh")]
        self.register_buffer("bias", torch.cat(biases, dim=1))

    def forward(self, tokens: Int[Tensor, "b t"], lengths: Int[Tensor, " b"]) -> Codes:
        num_rows, num_tokens = tokens.shape
        embedded = self.encoder(tokens).transpose(0, 1)  # [t b e]
        last_shape = (2, num_rows, self.hidden_size)
        states, last, _ = torch.onnx.ops.symbolic_multi_out(
            "LSTM",
            (embedded, self.weight_ih, self.weight_hh, self.bias, lengths.int()),
            {"direction": "bidirectional", "hidden_size": self.hidden_size},
            dtypes=(embedded.dtype,) * 3,
            shapes=((num_tokens, *last_shape), last_shape, last_shape),
            version=LSTM_OPSET,
        )
        words = states.permute(2, 1, 3, 0).flatten(1, 2)  # [t 2 b h] to [b 2h t]
        mask = torch.arange(num_tokens, device=tokens.device) < lengths[:, None]
        return last.transpose(0, 1).flatten(1), words, mask


def _gates(rnn: nn.LSTM, name: str) -> Tensor:
    """The parameter of both directions in ONNX's order of gates: [2 4h *]."""
    both = [getattr(rnn, f"{name}_l0{suffix}").detach().chunk(4) for suffix in ("", "_reverse")]
    return torch.stack([torch.cat([gates[place] for place in (0, 3, 1, 2)]) for gates in both])


class CLIPGraph(nn.Module):
    """CLIP's text transformer over the whole context."""

    def __init__(self, encoders: CLIP) -> None:
        super().__init__()
        self.encoders = encoders

    def forward(self, tokens: Int[Tensor, "b t"], lengths: Int[Tensor, " b"]) -> Codes:
        codes = self.encoders.codes_of_all(tokens, lengths)
        return codes.sentence, codes.words, codes.mask


class ImageGraph(nn.Module):
    """Noise and `Codes` to the last image [b 3 h w] of a GAN, in [-1, 1] but for GALIP, which nothing limits.

    The encoders are a part of it because GALIP draws through CLIP.
    """

    def __init__(self, gan: TextToImageGAN, encoders: Encoders) -> None:
        super().__init__()
        self.gan, self.generator, self.encoders = gan, gan.generator, encoders

    def forward(
        self,
        z: Float[Tensor, "b z"],
        sentence: Float[Tensor, "b d"],
        words: Float[Tensor, "b d t"],
        mask: Bool[Tensor, "b t"],
    ) -> Float[Tensor, "b 3 h w"]:
        return self.gan.generate(z, TextCodes(sentence, words, mask)).image
