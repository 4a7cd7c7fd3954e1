"""CLIP: a vision transformer and a causal text transformer with a common space, as GALIP uses them.

Radford et al. 2021, "Learning Transferable Visual Models From Natural Language Supervision"; Tao et al. 2023, "GALIP".
The transformers are open_clip's; everything that enters or leaves them is here.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from annotated_types import Ge
from jaxtyping import Float, Int
from torch import Tensor, nn

from sclgan.data.types import Captions
from sclgan.distributed import copied
from sclgan.encoders.base import Encoders, ImageCodes, TextCodes
from sclgan.encoders.clip_library import open_clip
from sclgan.encoders.clip_tokens import NUM_TOKENS, CLIPTokenizer
from sclgan.losses.matching import info_nce
from sclgan.losses.terms import Terms
from sclgan.weights.loading import load_strictly
from sclgan.weights.readers import State, read_states
from sclgan.weights.registry import verified

MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)
NO_WEIGHTS = ("input_resolution", "context_length", "vocab_size", "attn_mask")  # in OpenAI's files beside the weights
LARGEST_SCALE = 100.0

AtLeast1 = Annotated[int, Ge(1)]
Trained = Literal["all", "last_blocks", "norms_and_biases", "projections", "nothing"]


@dataclass(frozen=True, kw_only=True)
class CLIPImageCodes(ImageCodes):
    """Image codes with the features after some blocks of the vision transformer, one vector per patch."""

    layers: Float[Tensor, "b k c r s"]


class CLIP(Encoders):
    """The encoder pair. The default sizes are those of ViT-B/32; `code_size` is also the width of the text transformer.

    `weights` is a file (OpenAI's ViT-B-32.pt or open_clip's), "openai" for the file "clip-vit-b-32" of
    `weights.registry`, or None for random weights. `trained` says which parameters pre-training changes: "last_blocks"
    are the last `num_trained_blocks` of each transformer and the layers after them, "projections" the two matrices into
    the common space; except with "nothing", the scale of the similarities is trained too. Checkpoints leave out the
    other parameters if `weights` names a file that has them.

    Raises:
        ModuleNotFoundError: open_clip is not installed.
        FileNotFoundError: the weights are missing.
        ValueError: the file is damaged or holds a network of other sizes, or sizes are not multiples of their parts.
    """

    tokenizer = CLIPTokenizer

    def __init__(
        self,
        num_tokens: int = NUM_TOKENS,
        *,
        weights: str | None,
        trained: Trained = "all",
        num_trained_blocks: AtLeast1 = 1,
        reference_input: bool = False,
        code_size: AtLeast1 = 512,
        context_length: AtLeast1 = 77,
        num_text_blocks: AtLeast1 = 12,
        num_text_heads: AtLeast1 = 8,
        image_size: AtLeast1 = 224,
        patch_size: AtLeast1 = 32,
        image_width: AtLeast1 = 768,
        num_image_blocks: AtLeast1 = 12,
        num_image_heads: AtLeast1 = 12,
    ) -> None:
        super().__init__()
        for what, whole, part in (
            ("image_size into patches", image_size, patch_size),
            ("image_width into heads", image_width, num_image_heads),
            ("code_size into heads", code_size, num_text_heads),
        ):
            if whole % part:
                raise ValueError(f"{what}: {whole} is not a multiple of {part}")
        self.code_size, self.context_length = code_size, context_length
        self.image_size, self.image_width, self.num_image_blocks = image_size, image_width, num_image_blocks
        self.grid_size = image_size // patch_size
        self.map_channels = (image_width,) * num_image_blocks
        self.reference_input = reference_input
        library = open_clip().model
        self.clip = library.CLIP(
            code_size,
            library.CLIPVisionCfg(
                layers=num_image_blocks,
                width=image_width,
                head_width=image_width // num_image_heads,
                patch_size=patch_size,
                image_size=image_size,
            ),
            library.CLIPTextCfg(
                context_length=context_length,
                vocab_size=num_tokens,
                width=code_size,
                heads=num_text_heads,
                layers=num_text_blocks,
            ),
            quick_gelu=True,
        )
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION)[:, None, None], persistent=False)
        if weights is not None:
            path = openai_weights() if weights == "openai" else Path(weights)
            self._load(path)
        names = _trained_names(self.clip, trained, num_trained_blocks)
        for name, parameter in self.clip.named_parameters():
            parameter.requires_grad_(name in names)
        if weights is not None:
            self.frozen_prefixes = tuple(f"clip.{name}" for name in self.clip.state_dict() if name not in names)

    @classmethod
    def without_weights(cls, constructor: Callable[[int], Encoders]) -> Callable[[int], Encoders]:
        """`constructor` with random weights."""
        return partial(constructor, **{"weights": None})

    def encode_text(self, captions: Captions) -> TextCodes:
        """The sentence is the projected state at the end sign; words are all states, signs included, unprojected.

            x = ln_final( transformer( embedding + position ) )    words = x    sentence = x[end sign] @ text_projection

        Words are 0 at padding: the transformer is causal, so what follows the end sign is not computed at all.

        Raises:
            ValueError: a caption has no token, claims more than are given, or exceeds the context.
        """
        tokens, lengths = captions.tokens, captions.lengths.cpu()
        num_tokens = tokens.shape[1]
        if num_tokens > self.context_length:
            raise ValueError(f"captions have {num_tokens} tokens, the context is {self.context_length}: shorten them")
        if len(lengths) and not 1 <= int(lengths.min()) <= int(lengths.max()) <= num_tokens:
            raise ValueError(f"captions must have 1 to {num_tokens} tokens, lengths are {lengths.tolist()}")
        longest = int(lengths.max())
        codes = self.codes_of_all(tokens[:, :longest], copied(lengths, tokens.device))
        beyond = (0, num_tokens - longest)
        return TextCodes(codes.sentence, words=F.pad(codes.words, beyond), mask=F.pad(codes.mask, beyond))

    def codes_of_all(self, tokens: Int[Tensor, "b t"], lengths: Int[Tensor, " b"]) -> TextCodes:
        """The codes of `encode_text`, padding computed like the rest: no size and no branch depends on the captions."""
        clip = self.clip
        x = clip.token_embedding(tokens) + clip.positional_embedding[: tokens.shape[1]]
        for block in clip.transformer.resblocks:
            x = _after(block, x, causal=True)
        x = clip.ln_final(x)  # [b t d]
        sentence = _projected(x[torch.arange(x.shape[0], device=x.device), lengths - 1], clip.text_projection)
        mask = torch.arange(x.shape[1], device=x.device) < lengths[:, None]
        return TextCodes(sentence, words=x.masked_fill(~mask[:, :, None], 0).transpose(1, 2), mask=mask)

    def encode_image(self, image: Float[Tensor, "b 3 h w"], blocks: Sequence[int] = ()) -> CLIPImageCodes:
        """Codes of images in [-1, 1] of any size, with the features after the `blocks` (numbered from 0).

        `regions` are the patches projected as if each were the class token, which CLIP was not trained for.
        """
        visual = self.clip.visual
        maps, x = self._after_blocks(image, stop=self.num_image_blocks)
        codes = _projected(visual.ln_post(x), visual.proj)  # [b 1+n d]
        return CLIPImageCodes(
            image=codes[:, 0], regions=self._as_map(codes[:, 1:]), maps=maps, layers=self._chosen(maps, blocks)
        )

    def features(self, image: Float[Tensor, "b 3 h w"], blocks: Sequence[int]) -> Float[Tensor, "b k c r s"]:
        """`encode_image(image, blocks).layers` alone: later blocks are not computed."""
        return self._chosen(self._after_blocks(image, stop=max(blocks) + 1)[0], blocks)

    def bridge(
        self, features: Float[Tensor, "b c r s"], prompts: Float[Tensor, "b k c"], *, first_block: int
    ) -> Float[Tensor, "b c r s"]:
        """A feature map through the vision transformer, its places taken for patches (Tao et al. 2023, section 3.2).

        Block `first_block` + i sees prompt i as an additional, last token, whose output is dropped.
        """
        x = self._embedded(features.flatten(2).transpose(1, 2))
        for index, block in enumerate(self.clip.visual.transformer.resblocks, start=-first_block):
            if 0 <= index < prompts.shape[1]:
                x = _after(block, torch.cat([x, prompts[:, index, None]], dim=1))[:, :-1]
            else:
                x = _after(block, x)
        return self._as_map(x[:, 1:])

    def clip_input(self, image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 s s"]:
        """Images in [-1, 1], resized and normalised for CLIP's vision transformer.

            u = resize(image)        x = (u / 2 + 1 / 2 - mean) / deviation

        The resize is bicubic and antialiased like CLIP's own; images of CLIP's size are not resized.

        Reference quirk, with `reference_input`: GALIP's code rescales twice, so that [-1, 1] becomes [0.5, 1], and
        resizes to the nearest pixel. Kept for released weights.
        """
        size = (self.image_size, self.image_size)
        image = image.to(self.clip.visual.conv1.weight.dtype)
        if self.reference_input:
            image = (F.interpolate(image, size, mode="nearest") if image.shape[2:] != size else image) / 2 + 0.5
        elif image.shape[2:] != size:
            image = F.interpolate(image, size, mode="bicubic", align_corners=False, antialias=True)
        mean, deviation = self.get_buffer("mean"), self.get_buffer("deviation")
        return torch.addcmul((0.5 - mean) / deviation, image, 0.5 / deviation)

    def matching_terms(self, text: TextCodes, image: ImageCodes, labels: Int[Tensor, " b"] | None) -> Terms:
        """CLIP's loss, `infonce`, with its learned scale, which is limited to 100.

        Rows of the same label are rivals like any others, as in CLIP; labels enter through the contrast alone.
        """
        del labels
        scale = self.clip.logit_scale
        with torch.no_grad():  # as CLIP does, in the parameter: clamping its value would end its gradient
            scale.clamp_(0, math.log(LARGEST_SCALE))
        return {"infonce": info_nce(text.sentence, image.image, scale.exp())}

    def text_parameters(self) -> list[nn.Parameter]:
        """The trainable parameters of the text transformer and its projection."""
        return [p for name, p in self._trainable() if not name.startswith("visual.") and name != "logit_scale"]

    def trainable_parameters(self) -> list[nn.Parameter]:
        """All parameters that pre-training changes."""
        return [p for p in self.parameters() if p.requires_grad]

    def _trainable(self) -> list[tuple[str, nn.Parameter]]:
        return [(name, p) for name, p in self.clip.named_parameters() if p.requires_grad]

    def _after_blocks(
        self, image: Float[Tensor, "b 3 h w"], *, stop: int
    ) -> tuple[tuple[Float[Tensor, "b c r s"], ...], Float[Tensor, "b t c"]]:
        """The patches after each block up to `stop` - 1, and class token and patches after that one."""
        kernel = self.clip.visual.conv1.weight  # as a matrix, whose transpose takes gradients to pixels faster
        patches = F.unfold(self.clip_input(image), kernel.shape[2], stride=kernel.shape[2])  # [b 3*p*p n]
        x = self._embedded(F.linear(patches.transpose(1, 2), kernel.flatten(1)))
        maps = []
        for block in self.clip.visual.transformer.resblocks[:stop]:
            x = _after(block, x)
            maps.append(self._as_map(x[:, 1:]))
        return tuple(maps), x

    def _chosen(self, maps: Sequence[Float[Tensor, "b c r s"]], blocks: Sequence[int]) -> Float[Tensor, "b k c r s"]:
        """The maps after these blocks in one tensor, in their order."""
        if not all(0 <= index < len(maps) for index in blocks):
            raise ValueError(f"blocks {list(blocks)} are not all among 0 to {self.num_image_blocks - 1}")
        if not blocks:
            return maps[0].new_empty(len(maps[0]), 0, *maps[0].shape[1:])
        return torch.stack([maps[index] for index in blocks], dim=1)

    def _embedded(self, patches: Float[Tensor, "b n c"]) -> Float[Tensor, "b t c"]:
        """The transformer's input: class token first, positions added, normalised."""
        visual = self.clip.visual
        itself = visual.class_embedding.to(patches.dtype).expand(patches.shape[0], 1, -1)
        out: Tensor = visual.ln_pre(torch.cat([itself, patches], dim=1) + visual.positional_embedding)
        return out

    def _as_map(self, patches: Float[Tensor, "b n c"]) -> Float[Tensor, "b c r s"]:
        return patches.transpose(1, 2).view(patches.shape[0], -1, self.grid_size, self.grid_size)

    def _load(self, path: Path) -> None:
        states = read_states(path)
        found = states[0] if len(states) == 1 else {}
        given: State = {name: x.float() for name, x in found.items() if name not in NO_WEIGHTS}
        advice = "Give OpenAI's ViT-B-32.pt, or fitting sizes"
        load_strictly(self.clip, given, path, network="this CLIP", advice=advice)


def openai_weights() -> Path:
    """The verified file of OpenAI's ViT-B/32.

    Raises:
        FileNotFoundError: it is in none of the folders; the message says what to get and where to put it.
        ValueError: it is not the known file.
    """
    try:
        return verified("clip-vit-b-32")[0]
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}, or give the path of your copy: encoders.weights=FILE in a recipe") from None


def _after(block: Any, x: Float[Tensor, "b t c"], *, causal: bool = False) -> Float[Tensor, "b t c"]:
    """The output of a block; the library's own forward multiplies by the weights once per token on a CPU."""
    attention = block.attn
    projected = F.linear(block.ln_1(x), attention.in_proj_weight, attention.in_proj_bias)
    split = projected.view(*x.shape[:2], 3, attention.num_heads, -1)
    query, key, value = split.permute(2, 0, 3, 1, 4)  # [b heads t e]
    mixed = F.scaled_dot_product_attention(query, key, value, is_causal=causal)
    x = x + attention.out_proj(mixed.transpose(1, 2).flatten(2))
    out: Tensor = x + block.mlp(block.ln_2(x))
    return out


def _projected(x: Float[Tensor, "*b c"], matrix: Float[Tensor, "c d"]) -> Float[Tensor, "*b d"]:
    """Codes in the common space, in the precision of the weights under autocast too, since they are compared."""
    with torch.autocast(x.device.type, enabled=False):
        return x.to(matrix.dtype) @ matrix


def _trained_names(clip: nn.Module, trained: Trained, num_blocks: int) -> set[str]:
    """The names of the parameters that pre-training changes."""
    names = [name for name, _ in clip.named_parameters()]
    projections = {"visual.proj", "text_projection"}
    if trained == "nothing":
        return set()
    if trained == "all":
        return set(names)
    if trained == "projections":
        chosen = projections
    elif trained == "norms_and_biases":
        chosen = {name for name in names if "ln_" in name or name.endswith("bias")}
    else:
        chosen = projections | {name for name in names if name.startswith(("ln_final.", "visual.ln_post."))}
        for prefix in ("transformer.resblocks.", "visual.transformer.resblocks."):
            of_tower = {name: int(name.removeprefix(prefix).split(".")[0]) for name in names if name.startswith(prefix)}
            first = max(of_tower.values()) + 1 - num_blocks
            chosen |= {name for name, index in of_tower.items() if index >= first}
    return chosen | {"logit_scale"}
