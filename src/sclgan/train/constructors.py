"""The networks of a recipe tried without memory, so that sizes that do not fit are found before pre-training."""

from sclgan.recipe import Recipe, class_of
from sclgan.runs.shapes import without_memory


def check_constructors(recipe: Recipe) -> None:
    """Builds the encoders, the GAN and the feature discriminator on torch's device "meta"; draws no random number.

    Raises:
        ValueError: one of them cannot be built, such as a GAN of this `image_size`.
    """
    kind = class_of(recipe.encoders)
    tokenizer = kind.tokenizer.of(["a word"], max_words=recipe.max_words)
    with without_memory():
        encoders = kind.without_weights(recipe.encoders)(tokenizer.num_tokens)
        recipe.gan(encoders, image_size=recipe.image_size)
        if recipe.feature_discriminator is not None:
            recipe.feature_discriminator(encoders)
