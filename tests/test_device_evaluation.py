"""Drawing and measuring on a pretended GPU: samples, grids, scores, evaluation in training, every feature network."""

from pretended_gpu import pretended_gpu
from runs import small
from sclgan.runs import checkpoint
from sclgan.runs.encoders import encoders_class
from sclgan.runs.opened import Run
from sclgan.train.evaluator import Evaluator, protocols_of
from sclgan.train.pretraining import Score, new_encoders
from sclgan.train.sample_grid import SampleGrid
from sclgan.train.splits import Splits
from sclgan.train.training import new_phase

PROTOCOLS = ("fd_lite0", "kid_lite0", "is_lite0", "precision_lite0", "recall_lite0", "diversity_lite0", "ground")


def test_scores_grids_samples_and_evaluations(tmp_path):
    graded = ("evaluate_every=1", "evaluate_images=12", f"evaluate_protocols={','.join(PROTOCOLS)}")
    recipe = small("attngan_emoji", *(f"training.{field}" for field in graded))
    splits = Splits(recipe)
    tokenizer = encoders_class(recipe).tokenizer.of(splits["train"].captions(), max_words=recipe.max_words)
    with pretended_gpu() as gpu:
        encoders = new_encoders(recipe, tokenizer, num_labels=len(splits["train"].label_names))
        scores = Score(recipe, encoders, tokenizer, splits, tmp_path)(0)
        assert {"retrieval/mean", "zero_shot/top1"} <= scores.keys()
        encoders.requires_grad_(False).eval()
        _, drawing = new_phase(recipe, encoders)
        run = Run(tmp_path, recipe, 0, encoders, tokenizer, drawing)
        SampleGrid(recipe, splits["test"], drawing, encoders, tokenizer, tmp_path / "grids").save(1)
        assert (tmp_path / "grids" / "step_00000001.png").exists()
        assert run.sample(["a red apple"], num_images=2, seed=0).shape == (2, 3, recipe.image_size, recipe.image_size)
        found = Evaluator(run, protocols_of(recipe.training), splits)(1)
        assert len(found) == len(PROTOCOLS)
        assert checkpoint.best_score(tmp_path / "checkpoints") is not None
        assert "convolution" in gpu.operators
