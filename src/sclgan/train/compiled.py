"""The networks of the GAN phase as `torch.compile` makes them, in place: state dicts and checkpoints stay as they are.

Compiled are the generator, D's passes without a second derivative and the frozen encoders. Not compiled are:

- D on real pictures under a gradient penalty, `magp` of SSA-GAN and GALIP: `torch.compile` has no second derivatives.
  Both call D's parts there, and D itself, which is compiled, on fakes.
- The LSTM of DAMSM's text encoder, which `torch.compile` leaves to cuDNN.
- Anything with several ranks, whose batch normalisation talks to the others: `check_recipe` refuses that.
- The averaged generator: grids and evaluations draw as an uncompiled run does.
"""

from collections.abc import Iterator

import torch
from torch import nn

from sclgan.encoders.base import Encoders
from sclgan.gans.base import TextToImageGAN


def compile_networks(gan: TextToImageGAN, encoders: Encoders) -> None:
    """Compiles them, each when it is first called."""
    for network in (gan.generator, gan.discriminator):
        for part in called_by_themselves(network):
            part.compile()
    for verb in ("encode_text", "encode_image"):
        setattr(encoders, verb, torch.compile(getattr(encoders, verb)))


def called_by_themselves(network: nn.Module) -> Iterator[nn.Module]:
    """The largest parts of a network that have a forward pass, which is what `nn.Module.compile` compiles."""
    if type(network).forward is not nn.Module.forward:
        yield network
        return
    for child in network.children():
        yield from called_by_themselves(child)
