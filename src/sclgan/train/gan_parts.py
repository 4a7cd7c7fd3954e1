"""Phase 2 in parts: a step goes through the batch part by part, and needs the memory of one part alone.

The gradients are those of the whole batch where no network holds batch statistics. What relates rows is not split: the
fakes of all parts are first drawn and encoded without a graph, its losses are taken on all codes, and each part is then
drawn again and sent backward with the gradients of its codes (Gao et al. 2021, "Scaling Deep Contrastive Learning Batch
Size under Memory Limited Setup", section 3.2). D's mismatched pairs need sentences of other parts, not pictures.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sclgan.data.types import Batch
from sclgan.encoders.base import Encoders, ImageCodes, TextCodes
from sclgan.gans.augmentation import Augment, Augmentation
from sclgan.gans.base import Fake, TextToImageGAN
from sclgan.gans.layers import SpectralConv2d
from sclgan.losses.adversarial import NextSentences, next_of_all
from sclgan.losses.precision import as_float32
from sclgan.losses.terms import Terms, sum_over_views, total
from sclgan.recipe import Training
from sclgan.train.gan_phase import GANPhase, as_judged
from sclgan.train.label_terms import LABEL_TERMS, label_terms
from sclgan.train.schedule import weights_at
from sclgan.train.step import descend, frozen


def gan_phase(gan: TextToImageGAN, encoders: Encoders, recipe: Training, *, seed: int) -> GANPhase:
    """The phase, in parts where the recipe asks for them."""
    kind = GANPhase if recipe.accumulate == recipe.penalty_parts == 1 else GANPhaseInParts
    return kind(gan, encoders, recipe, seed=seed)


@dataclass(frozen=True)
class Rows:
    """Rows of one view and what of the step belongs to them."""

    real: Float[Tensor, "b 3 h w"]
    noise: Float[Tensor, "b z"]
    text: TextCodes
    following: NextSentences
    augment: Augment
    fake: Fake | None = None

    def split(self, num_parts: int) -> list["Rows"]:
        """Parts of equally many rows."""
        size = len(self.real) // num_parts
        return [
            self._part(slice(number * size, (number + 1) * size), following)
            for number, following in enumerate(self.following.split(num_parts))
        ]

    def _part(self, rows: slice, following: NextSentences) -> "Rows":
        augment = self.augment
        if isinstance(augment, Augmentation):
            augment = replace(augment, draws=augment.draws[rows])
        fake = None if self.fake is None else self.fake[rows]
        return Rows(self.real[rows], self.noise[rows], self.text[rows], following, augment, fake)


CodeGradients = tuple[Tensor | None, Tensor | None]
"""A loss's gradients in the image codes and the region codes of a view; None where it does not read them."""


class GANPhaseInParts(GANPhase):
    """`GANPhase` whose steps go through `accumulate` parts, and D's with a penalty through `penalty_parts` of each.

    Fakes are drawn twice, and encoded once more where a loss relates rows; otherwise a step does the same work.
    """

    def step(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """As in `GANPhase`."""
        recipe = self.recipe
        views = self._drawn(batch, step)
        logs: dict[str, Tensor] = {}
        for table in recipe.discriminator_objectives:
            if weights := weights_at(step, table, recipe):
                values = self._discriminator_step(views, weights)
                logs |= {f"d/{name}": value for name, value in values.items()}
        values = self._generator_step(views, batch, weights_at(step, recipe.generator_objective, recipe))
        logs |= {f"g/{name}": value for name, value in values.items()}
        self.averaged.update(step - 1)
        return logs

    def _drawn(self, batch: Batch, step: int) -> list[Rows]:
        """The views with their fakes, which have no graph."""
        augments = self.augmentations(batch, step)
        with torch.no_grad():
            texts = [self.encoders.encode_text(view.captions) for view in batch.views]
        views = [
            Rows(view.image, z, text, next_of_all(text.sentence.detach()), augment)
            for view, z, text, augment in zip(batch.views, self.noise(batch, step), texts, augments, strict=True)
        ]
        with torch.no_grad(), _buffers_kept(self.gan.generator):
            fakes = [[self._draw(part) for part in view.split(self.recipe.accumulate)] for view in views]
        return [replace(view, fake=_joined(parts)) for view, parts in zip(views, fakes, strict=True)]

    def _draw(self, part: Rows) -> Fake:
        with self.autocast():
            fake = self.gan.generate(part.noise, part.text)
        return as_judged(fake, part.augment)

    def _discriminator_step(self, views: Sequence[Rows], weights: Mapping[str, float]) -> dict[str, Tensor]:
        recipe = self.recipe
        num_parts = recipe.accumulate
        if weights.keys() & self.gan.penalty_terms:
            num_parts *= recipe.penalty_parts
        self.discriminator_optimizer.zero_grad(set_to_none=True)
        found = []
        for part in zip(*(view.split(num_parts) for view in views), strict=True):
            with self.autocast():
                terms = sum_over_views([self._terms_of_discriminator(rows, weights.keys()) for rows in part])
            (total(terms, weights) / num_parts).backward()  # type: ignore[no-untyped-call]
            found.append({name: value.detach() for name, value in terms.items()})
        return descend(
            self.discriminator_optimizer,
            _mean(found),
            weights,
            network="discriminator",
            objectives=self.objectives,
            accumulated=True,
        )

    def _terms_of_discriminator(self, rows: Rows, only: Collection[str]) -> Terms:
        assert rows.fake is not None
        return self.gan.discriminator_terms(rows.real, rows.fake, rows.text, only, rows.augment, rows.following)

    def _generator_step(self, views: Sequence[Rows], batch: Batch, weights: Mapping[str, float]) -> dict[str, Tensor]:
        gan, num_parts = self.gan, self.recipe.accumulate
        relating = weights.keys() & (LABEL_TERMS | gan.terms_relating_rows)
        by_row = {name: weight for name, weight in weights.items() if name not in relating}
        self.generator_optimizer.zero_grad(set_to_none=True)
        found = []
        with frozen(gan.discriminator):
            terms, gradients = self._relating_rows(views, batch, {name: weights[name] for name in relating})
            parts = list(zip(*(view.split(num_parts) for view in views), strict=True))
            of_parts = zip(*(_split(one, num_parts) for one in gradients), strict=True)
            for part, upper, labels in zip(parts, of_parts, batch.labels.chunk(num_parts), strict=True):
                fakes = [self._draw(rows) for rows in part]
                with self.autocast():
                    encoded = bool(weights.keys() - gan.terms_without_codes)
                    codes = [gan.embed(fake) if encoded else None for fake in fakes]
                    own = sum_over_views(
                        [
                            gan.generator_terms(fake, code, rows.text, labels, by_row.keys())
                            for fake, code, rows in zip(fakes, codes, part, strict=True)
                        ]
                    )
                roots = [(total(own, by_row) / num_parts, None)] if by_row else []
                roots += [
                    (code, gradient)
                    for one, both in zip(codes, upper, strict=True)
                    if one is not None
                    for code, gradient in zip((one.image, one.regions), both, strict=True)
                    if gradient is not None
                ]
                torch.autograd.backward([root for root, _ in roots], [gradient for _, gradient in roots])
                found.append({name: value.detach() for name, value in own.items()})
        return descend(
            self.generator_optimizer,
            {**_mean(found), **terms},
            weights,
            network="generator",
            objectives=self.objectives,
            accumulated=True,
        )

    def _relating_rows(
        self, views: Sequence[Rows], batch: Batch, weights: Mapping[str, float]
    ) -> tuple[Terms, list[CodeGradients]]:
        """The terms that relate rows, on the codes of all parts, and the gradients of their weighted sum in these."""
        if not weights:
            return {}, [(None, None) for _ in views]
        gan, own = self.gan, weights.keys() - LABEL_TERMS
        codes = [self._encoded(view) for view in views]
        with self.autocast():
            terms: Terms = {}
            if own:
                terms = sum_over_views(
                    [
                        gan.generator_terms(Fake(()), code, view.text, batch.labels, own)
                        for code, view in zip(codes, views, strict=True)
                    ]
                )
        sentences, images = [view.text.sentence for view in views], [as_float32(code.image) for code in codes]
        joins = self.recipe.contrast_reals and "contrast" in weights
        reals = [self._codes_of_real(view) for view in views] if joins else []
        terms |= label_terms(self.recipe, weights, sentences, images, batch, self.encoders, reals=reals)
        leaves = [leaf for code in codes for leaf in (code.image, code.regions)]
        gradients = torch.autograd.grad(total(terms, weights), leaves, allow_unused=True)
        return {name: value.detach() for name, value in terms.items()}, list(
            zip(gradients[::2], gradients[1::2], strict=True)
        )

    @torch.no_grad()
    def _encoded(self, view: Rows) -> ImageCodes:
        """The codes of all fakes of a view, as leaves of a graph."""
        parts = []
        for part in view.split(self.recipe.accumulate):
            assert part.fake is not None
            with self.autocast():
                codes = self.gan.embed(part.fake)
            parts.append((codes.image, codes.regions))
        image, regions = (torch.cat(some).requires_grad_() for some in zip(*parts, strict=True))
        return ImageCodes(image=image, regions=regions)

    @torch.no_grad()
    def _codes_of_real(self, view: Rows) -> Float[Tensor, "b d"]:
        """As `codes_of_reals` of the whole batch."""
        parts = []
        for part in view.split(self.recipe.accumulate):
            with self.autocast():
                codes = self.encoders.encode_image(part.augment(part.real))
            parts.append(as_float32(codes.image))
        return torch.cat(parts)


def notes(gan: TextToImageGAN, recipe: Training) -> list[str]:
    """What makes a step in parts differ from one of the whole batch: a line for each network and kind of layer."""
    split = {"generator": (gan.generator, recipe.accumulate)}
    split["discriminator"] = (gan.discriminator, recipe.accumulate * recipe.penalty_parts)
    lines = []
    for network, (module, num_parts) in split.items():
        for kind, why in _NOT_BY_ROW:
            names = [name for name, part in module.named_modules() if isinstance(part, kind)]
            if num_parts > 1 and names:
                some = ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")
                lines.append(
                    f"a step in {num_parts} parts is not that of the whole batch: the {network} {why} ({some})"
                )
    return lines


_NOT_BY_ROW = (
    (nn.modules.batchnorm._BatchNorm, "normalises each part by its own statistics"),
    (SpectralConv2d, "improves its estimates of spectral norms with every part"),
)


def _split(gradients: CodeGradients, num_parts: int) -> Iterator[CodeGradients]:
    """Those of each part."""
    image, regions = (num_parts * [None] if one is None else one.chunk(num_parts) for one in gradients)
    return zip(image, regions, strict=True)


def _joined(parts: Sequence[Fake]) -> Fake:
    """The fakes of all parts as one, which is not encoded yet."""
    images = tuple(torch.cat(same) for same in zip(*(part.images for part in parts), strict=True))
    return replace(parts[0], images=images, maps=())


def _mean(parts: Sequence[Terms]) -> Terms:
    return {name: torch.stack([terms[name] for terms in parts]).mean() for name in parts[0]}


@contextmanager
def _buffers_kept(module: nn.Module) -> Iterator[None]:
    """Restores the module's buffers behind it: running statistics move once in a step."""
    before = [x.clone() for x in module.buffers()]
    try:
        yield
    finally:
        for x, old in zip(module.buffers(), before, strict=True):
            x.copy_(old)
