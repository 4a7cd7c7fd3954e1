"""Training on scenes: every GAN, and the method under each label rule, tiny; and grading."""

import pytest

from runs import small
from sclgan.data.labels import RULES
from sclgan.evaluation.engine import EvaluationOptions
from sclgan.evaluation.run import evaluate_run
from sclgan.recipe_fields import override
from sclgan.recipes import RECIPES
from sclgan.runs.opened import open_run
from sclgan.runs.records import read_metrics
from sclgan.train import training
from tiny import arguments

FEW = ("source.num_scenes=60", "training.batch_size=6", "pretraining.batch_size=6")


@pytest.mark.parametrize("rule", [*RULES, "attributes"])
def test_the_method_trains_on_scenes_with_each_label_rule(rule, tmp_path):
    made = override(small("ssagan_scenes_scl", *FEW), [f"label_rule={rule}"])
    training.train(made, tmp_path)
    record = read_metrics(tmp_path)[-1]
    assert 0 < record["g/contrast"] < 10
    opened = open_run(tmp_path)
    assert opened.recipe.label_rule == rule
    assert opened.sample(["a dog to the left of a tent at night"], num_images=2, seed=0).shape == (2, 3, 64, 64)
    if rule == "weighted":  # rows of several labels are graded by their dominant one
        (result,) = evaluate_run(tmp_path, EvaluationOptions(["diversity_lite0"], num_images=60))
        assert 0 <= result.value <= 2


@pytest.mark.parametrize("name", ["attngan_scenes_scl", "dmgan_scenes"])
def test_the_stacked_gans_train_on_scenes(name, tmp_path):
    training.train(small(name, *FEW), tmp_path)
    assert {"g/kl", "g/words"} <= read_metrics(tmp_path)[-1].keys()


@pytest.mark.parametrize("name", [name for name, make in RECIPES.items() if make().row.data == "scenes"])
def test_scenes_play_the_role_of_coco(name):
    made = RECIPES[name]()
    assert arguments(made.encoders).get("mask_same_label", False) is False
    assert made.label_rule == {"ce": "weighted", "cl": "itself"}.get(made.row.variant, "shared")
    assert max(map(len, override(made, ["source.num_scenes=50"]).source("train").labels)) > 2
