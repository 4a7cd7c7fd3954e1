"""Frechet distance against number of samples on emoji: a run, and real pictures in place of a generator.

    python benchmarks/bias.py RUN OUT.png [NUM_SAMPLES]

Writes the picture, and the numbers as JSON beside it. Both are compared with the same real pictures.
"""

import sys
from pathlib import Path

from sclgan.evaluation.batches import with_progress
from sclgan.evaluation.comparison import composed_reals
from sclgan.evaluation.curve_picture import write_curves
from sclgan.evaluation.measured import Measured, measure
from sclgan.evaluation.measures import Frechet
from sclgan.evaluation.reals import composed
from sclgan.evaluation.run import SPLIT, generated
from sclgan.metrics.curve import BiasCurve, bias_curve
from sclgan.metrics.gaussian import Gaussian
from sclgan.runs.opened import open_run

PROTOCOL = "fd_lite0"


def curve(measured: Measured, reals: Gaussian) -> BiasCurve:
    return bias_curve(measured.features(PROTOCOL), reals)


def main() -> None:
    """Measures both, prints and writes them."""
    run, out = open_run(Path(sys.argv[1])), Path(sys.argv[2])
    num_samples = int(sys.argv[3]) if len(sys.argv) > 3 else 5_000
    source = run.recipe.source(SPLIT)
    fakes = with_progress(generated(run, source, num_samples, seed=0), "generated", num_samples)
    of_run = measure([PROTOCOL], fakes, keep_features=True)
    reference = composed_reals(of_run, source, num_floor=0).references[PROTOCOL]
    assert isinstance(reference, Frechet)
    indices = range(num_samples, 2 * num_samples)
    others = with_progress(composed(source, indices, 2 * num_samples, of_run.size, seed=0), "real", num_samples)
    of_reals = measure([PROTOCOL], others, keep_features=True, extractors=of_run.extractors)
    curves = {run.recipe.name: curve(of_run, reference.gaussian), "real pictures": curve(of_reals, reference.gaussian)}
    write_curves(out, curves)
    for name, found in curves.items():
        points = ", ".join(f"{n}: {value:.2f}" for n, value in zip(found.num_samples, found.values, strict=True))
        print(f"{name}: {points}; infinity: {found.limit.value:.2f} {found.limit.interval}")


if __name__ == "__main__":
    main()
