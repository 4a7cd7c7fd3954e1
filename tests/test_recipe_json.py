"""Saved recipes: those of before a move still open, hostile and damaged ones are one clear error."""

import json
from typing import Any

import pytest

from sclgan.recipe import Row, class_of
from sclgan.recipe_json import MOVED, PLACES, RENAMED, from_json, to_json
from sclgan.recipes import KNOWN, recipe


def saved(name: str = "ssagan_emoji") -> dict[str, Any]:
    content: dict[str, Any] = json.loads(to_json(recipe(name)))
    return content


@pytest.mark.parametrize("name", ["ssagan_emoji", "ssagan_cub_small_scl", "ssagan_emoji_scl-temperature0.5"])
def test_a_recipe_that_was_saved_with_its_name_alone_old_modules_and_old_fields_is_the_same(name):
    old = {key: value for key, value in saved(name).items() if key != "row"}
    before = {now: then for then, now in MOVED.items()}
    module, _, kind = old["source"]["call"].rpartition(".")
    old["source"]["call"] = f"{before[module]}.{kind}"
    for phase, renamed in RENAMED.items():
        assert {*renamed.values()} <= old[phase].keys()
        then_of = {now: then for then, now in renamed.items()}
        old[phase] = {then_of.get(field, field): value for field, value in old[phase].items()}
    again = from_json(json.dumps(old))
    assert again.name == name
    assert to_json(again) == to_json(recipe(name))


def test_names_of_recipes_are_those_of_their_rows():
    assert all(make().name == name for name, make in KNOWN.items())
    assert len({make().row for make in KNOWN.values()}) == len(KNOWN)
    assert Row.parse("attngan_cub_official") == Row("attngan", "cub", "official")
    assert Row.parse("mine").name == "mine"


def test_every_recipe_names_classes_that_a_saved_one_may_name():
    for make in KNOWN.values():
        made = make()
        named = {"source": class_of(made.source), "encoders": class_of(made.encoders), "gan": class_of(made.gan)}
        for place, kind in named.items():
            assert f"{kind.__module__}.{kind.__qualname__}" in PLACES[place].classes


@pytest.mark.parametrize("place", ["source", "encoders", "gan", "feature_discriminator"])
@pytest.mark.parametrize(
    "call",
    [
        "os.system",
        "sclgan.files.write_atomically",
        "sclgan.recipe.json.loads",
        "sclgan.gans.ssagan.nn.Linear",
        "sclgan.gans.ssagan.Generator",
        "sclgan.encoders.lite0.Lite0",
        "\u001b[2Jall is well",
        ["sclgan.gans.ssagan.SSAGAN"],
        None,
    ],
)
def test_a_saved_recipe_names_classes_only_in_their_places(place, call):
    content = saved()
    content[place] = {"call": call}
    with pytest.raises(ValueError, match=f"is not loaded as {place}") as caught:
        from_json(json.dumps(content))
    assert str(caught.value).isprintable()


def test_a_run_of_before_fields_had_ranges_still_opens():
    content = saved()
    content["seed"], content["training"]["log_every"] = -1, 0
    assert from_json(json.dumps(content)).seed == -1


def change(path: str, value: object) -> str:
    content = saved()
    *folders, name = path.split(".")
    node = content
    for folder in folders:
        node = node[folder]
    node[name] = value
    return json.dumps(content)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "Expecting value"),
        ("[]", ""),
        ("{}", "'name'"),
        ('{"name": "x"}', "'pretraining'"),
        ("[" * 100_000, "recursion"),
        (change("training", []), ""),
        (change("training", {"steps": 3}), "generator_objective"),
        (change("training.unheard_of", 3), "unheard_of"),
        (change("training.steps", "many"), "training.steps must be a whole number, not 'many'"),
        (change("training.steps", True), "training.steps must be a whole number, not True"),
        (change("training.betas", [0.5]), "training.betas must be a list of 2 values"),
        (change("training.generator_objective", 3), "training.generator_objective must be a table of names"),
        (change("training.generator_objective.adv", None), "generator_objective.adv must be a number, not None"),
        (change("training.noise", "loud"), "training.noise must be one of independent, shared, not 'loud'"),
        (change("pretraining.image_size", "big"), "pretraining.image_size must be a whole number"),
        (change("image_size", {"a": 1}), "image_size must be a whole number"),
        (change("row", {"gan": 3, "data": []}), "row.gan must be text"),
        (change("row.variant", "scl"), "its name is 'ssagan_emoji', its row is that of 'ssagan_emoji_scl'"),
        (change("name", 3), ""),
        (change("gan", "SSAGAN"), ""),
        (change("gan.nf", [64]), "gan.nf must be a whole number"),
        (change("gan.nf", 0), "gan.nf must be at least 1, not 0"),
        (change("encoders.code_size", -2), "encoders.code_size must be at least 2, not -2"),
        (change("gan.layers", 3), "gan is not a SSAGAN: got an unexpected keyword argument 'layers'"),
        (change("encoders", {"call": "sclgan.encoders.clip.CLIP"}), "encoders is not a CLIP: missing a required"),
        (change("encoders.backbone", 3), ""),
    ],
)
def test_a_damaged_or_foreign_recipe_is_one_clear_error(text, expected):
    with pytest.raises(ValueError, match=f"^not a recipe of this version of sclgan: .*{expected}"):
        from_json(text)
