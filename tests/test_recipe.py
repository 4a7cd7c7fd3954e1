import json
from dataclasses import replace

import pytest

from sclgan.recipe import class_of
from sclgan.recipe_fields import override
from sclgan.recipe_json import from_json, to_json
from sclgan.recipes import RECIPES, recipe
from sclgan.recipes.ablations import ABLATIONS
from tiny import TINY, arguments, tiny, tiny_assignments


@pytest.mark.parametrize("name", [*RECIPES, *ABLATIONS])
def test_every_recipe_is_named_after_its_function_and_survives_json(name):
    made = recipe(name)
    assert made.name == name
    again = from_json(to_json(made))
    assert to_json(again) == to_json(made)
    assert class_of(again.gan) is class_of(made.gan)
    assert class_of(again.encoders) is class_of(made.encoders)
    if "backbone" in arguments(made.encoders):
        assert class_of(arguments(again.encoders)["backbone"]) is class_of(arguments(made.encoders)["backbone"])


ROWS = {name: make().row for name, make in RECIPES.items()}


def names_of(*variants: str) -> list[str]:
    return [name for name, row in ROWS.items() if row.variant in variants]


def sibling(name: str, variant: str) -> str:
    """The recipe of another variant of the same GAN on the same data."""
    return replace(ROWS[name], variant=variant).name


@pytest.mark.parametrize("name", names_of("scl"))
def test_the_method_is_a_second_view_and_one_more_term(name):
    with_method, plain = (json.loads(to_json(recipe(one))) for one in (name, sibling(name, "")))
    for phase, weights in (("pretraining", "objective"), ("training", "generator_objective")):
        assert with_method[phase].pop("num_views") == 2 * plain[phase].pop("num_views")
        assert with_method[phase][weights].pop("contrast") > 0
    if not plain["pretraining"]["steps"]:  # GALIP keeps CLIP as published, the method fine-tunes it
        assert with_method["pretraining"].pop("steps") > plain["pretraining"].pop("steps")
    assert with_method == plain | {part: with_method[part] for part in ("name", "row", "about")}


@pytest.mark.parametrize("name", names_of("unicl", "ce", "cl"))
def test_the_other_ways_see_what_the_method_sees_and_differ_in_one_term(name):
    other, method = recipe(name), recipe(sibling(name, "scl"))
    term = {"unicl": "contrast", "ce": "cross_entropy", "cl": "nt_xent"}[ROWS[name].variant]
    for phase, table in (("pretraining", "objective"), ("training", "generator_objective")):
        one, two = getattr(other, phase), getattr(method, phase)
        assert (one.num_views, one.batch_size, one.steps) == (two.num_views, two.batch_size, two.steps)
        found, expected = dict(getattr(one, table)), dict(getattr(two, table))
        assert found.pop(term) == expected.pop("contrast")
        assert found == expected


def changed(old, new, path=""):
    """The paths at which two recipes differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        return {line for k in old.keys() | new.keys() for line in changed(old.get(k), new.get(k), f"{path}.{k}")}
    return set() if old == new else {path.strip(".")}


@pytest.mark.parametrize("name", ABLATIONS)
def test_an_ablation_differs_from_the_method_in_what_its_name_says(name):
    row = recipe(name).row
    base, difference = replace(row, difference="").name, row.difference
    weights = {"pretraining.objective.contrast", "training.generator_objective.contrast"}
    expected = {
        "pretraining-only": {"training.num_views", "training.generator_objective.contrast"},
        "gan-only": {"pretraining.num_views", "pretraining.objective.contrast"},
        "pairs": {"pretraining.pairs", "training.pairs"},
        "temperature": {"pretraining.temperature", "training.temperature"},
        "weight-times": weights,
        "projection": {"pretraining.projection"},
        "noise-shared": {"training.noise"},
        "batch": {"training.batch_size"},
        "rule": {"label_rule"},
        "attributes": {"label_rule"},
        "reals": {"training.contrast_reals"},
    }
    (paths,) = (paths for start, paths in expected.items() if difference.startswith(start))
    method, ablation = (json.loads(to_json(recipe(one))) for one in (base, name))
    assert changed(method, ablation) == paths | {"name", "row.difference", "about"}


@pytest.mark.parametrize("name", names_of("2x"))
def test_the_control_sees_as_many_pictures_per_step_as_the_method(name):
    control, method = recipe(name), recipe(sibling(name, "scl"))
    for phase in ("pretraining", "training"):
        one, other = getattr(control, phase), getattr(method, phase)
        assert one.batch_size * one.num_views == other.batch_size * other.num_views
    assert "contrast" not in control.training.generator_objective


def test_override_reaches_dataclasses_constructors_and_tables():
    made = override(
        recipe("ssagan_emoji_scl"),
        [
            "seed=7",
            "training.steps=12",
            "training.betas=0.5,0.9",
            "training.generator_objective.contrast=0.4",
            "training.discriminator_objectives.0.magp=1.5",
            "gan.nf=16",
            "encoders.backbone.image_size=224",
            "pretraining.pairs=cross",
        ],
    )
    assert (made.seed, made.training.steps, made.training.betas) == (7, 12, (0.5, 0.9))
    assert made.training.generator_objective["contrast"] == 0.4
    assert made.training.discriminator_objectives[0]["magp"] == 1.5
    assert arguments(made.gan)["nf"] == 16
    assert arguments(arguments(made.encoders)["backbone"])["image_size"] == 224
    assert made.pretraining.pairs == "cross"


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("training.step=3", "did you mean 'steps'"),
        ("trainig.steps=3", "did you mean 'training'"),
        ("gan.nff=3", "did you mean 'nf'"),
        ("training.generator_objective.contrats=3", "did you mean"),
        ("training.steps=many", "takes int, not 'many'"),
        ("training.noise=other", "one of independent, shared"),
        ("training.betas=0.5", "2 values"),
        ("training.steps", "write field=value"),
        ("training=3", "is a group"),
        ("training.steps.more=3", "it has none"),
    ],
)
def test_a_wrong_override_says_what_is_wrong(assignment, message):
    with pytest.raises(ValueError, match=message):
        override(recipe("ssagan_emoji"), [assignment])


def test_an_unknown_recipe_names_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'ssagan_emoji_scl'"):
        recipe("ssagan_emoji_slc")


@pytest.mark.parametrize(
    "call", ["os.system", "sclgan.files.write_atomically", "sclgan.recipe.json.loads", "sclgan.gans.ssagan.nn.Linear"]
)
def test_a_run_folder_cannot_choose_what_is_executed(call):
    content = json.loads(to_json(recipe("ssagan_emoji")))
    content["gan"]["call"] = call
    with pytest.raises(ValueError, match="not loaded as gan"):
        from_json(json.dumps(content))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"name": "x"}'])
def test_a_damaged_recipe_is_one_clear_error(text):
    with pytest.raises(ValueError, match="not a recipe of this version"):
        from_json(text)


def test_tiny_sets_what_some_recipe_has():
    assert {assignment for name in RECIPES for assignment in tiny_assignments(recipe(name))} == set(TINY)


def test_tiny_keeps_what_makes_the_rows_differ():
    method, control = tiny(recipe("ssagan_emoji_scl")), tiny(recipe("ssagan_emoji_2x"))
    assert control.training.batch_size == 2 * method.training.batch_size
    assert replace(method, row=control.row, about="") != replace(control, about="")
