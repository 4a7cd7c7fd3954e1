"""Sentences about one emoji on a plain background: twelve templates over its class's words and its measured colours.

No caption was written by a person: names and keywords are Unicode CLDR's, colours are measured, sentences are made.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sclgan.data.sets.backgrounds import COLORS


@dataclass(frozen=True)
class Words:
    """The words that captions use for one drawing.

    `grammar` says how the name is used: "count" (an apple), "plural" (cherries), "mass" (bread), "pair" (a pair of
    jeans), "the" (the milky way) or "proper" (mount fuji). `colors` are at most two, the larger first, perhaps none.
    """

    name: str
    grammar: str
    superclass: str
    keywords: tuple[str, ...]
    style: str
    colors: tuple[str, ...]

    def phrase(self, *adjectives: str) -> str:
        """The name with its article: "an apple", "a shiny red apple", "a pair of blue jeans", "cherries"."""
        words = " ".join([*(adjective for adjective in adjectives if adjective), self.name])
        if self.grammar in ("plural", "mass") or (self.grammar == "proper" and words == self.name):
            return words
        if self.grammar in ("the", "proper"):
            return f"the {words}"
        return f"a pair of {words}" if self.grammar == "pair" else f"{article(words)} {words}"

    @property
    def subject(self) -> str:
        """The name before a verb: "the apple is", "the cherries are"."""
        name = self.name if self.grammar == "proper" else f"the {self.name}"
        return f"{name} {'are' if self.grammar in ('plural', 'pair') else 'is'}"

    @property
    def color(self) -> str:
        """The colours as an adjective, "red and green"; empty where the name has a colour of its own (red apple)."""
        if any(word in COLORS for word in self.name.split()):
            return ""
        return " and ".join(self.colors)


def article(words: str) -> str:
    """The indefinite article that `words` take, by their sound: "an apple", "a unicorn", "an herb"."""
    first = words.split()[0]
    if first.startswith(("uni", "eu", "ewe")):
        return "a"
    return "an" if first[0] in "aeiou" or first == "herb" else "a"


def _colored(words: Words, background: str) -> str:
    if not words.color:
        return f"{words.phrase()} on a {background} background"
    return f"{words.subject} {words.color} and the background is {background}"


def _in_colors(words: Words) -> str:
    return f" in {words.color}" if words.color else ""


WITH_BACKGROUND: Sequence[Callable[[Words, str], str]] = (
    lambda words, background: f"{words.phrase()} on a {background} background",
    lambda words, background: f"{words.phrase(words.color)} on a {background} background",
    lambda words, background: f"{words.phrase(words.style, words.color)} with a {background} background",
    lambda words, background: (
        f"{article(words.style)} {words.style} drawing of {words.phrase()} on a {background} background"
    ),
    lambda words, background: f"{words.phrase(words.color)} in front of a plain {background} background",
    lambda words, background: f"this picture shows {words.phrase(words.color)} against a {background} background",
    lambda words, background: (
        f"from the group {words.superclass}: {words.phrase(words.style)} on a {background} background"
    ),
    lambda words, background: f"{words.phrase()} drawn{_in_colors(words)} on a {background} background",
    _colored,
)
"""Templates that name the background, always as "<background> background" or "background is <background>"."""

WITHOUT_GROUND: Sequence[Callable[[Words], str]] = (
    lambda words: words.phrase(words.color),
    lambda words: f"{article(words.style)} {words.style} drawing of {words.phrase(words.color)}",
)
NUM_TEMPLATES = len(WITH_BACKGROUND) + len(WITHOUT_GROUND) + 1  # and the one with keywords


def caption(words: Words, background: str, template: int, keyword: int) -> str:
    """Caption number `template` of `NUM_TEMPLATES`; the last names one or two keywords, from number `keyword` on."""
    if template < len(WITH_BACKGROUND):
        return WITH_BACKGROUND[template](words, background)
    template -= len(WITH_BACKGROUND)
    if template < len(WITHOUT_GROUND):
        return WITHOUT_GROUND[template](words)
    said = words.keywords[keyword : keyword + 2]
    return ", ".join([words.phrase(), *said, f"{background} background"])
