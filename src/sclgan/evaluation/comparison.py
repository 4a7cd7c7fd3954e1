"""The real pictures that an evaluation compares with: those that `--reals` names, or the held-out ones of the data."""

import logging
from dataclasses import replace
from pathlib import Path

from sclgan import distributed
from sclgan.data import sources
from sclgan.data.picture_files import PictureFolder, refuse_run
from sclgan.data.types import Source
from sclgan.evaluation import packaged_statistics as packaged
from sclgan.evaluation.applicable import RealsAre
from sclgan.evaluation.batches import Encode, pictures_of
from sclgan.evaluation.measured import Measured
from sclgan.evaluation.reals import Reals, known_statistics, measure_pictures, measure_reals
from sclgan.evaluation.training_reals import measure_training
from sclgan.features.cache import cache_folder
from sclgan.metrics.gaussian import Gaussian

log = logging.getLogger(__name__)


def kind_of_reals(given: str | None) -> RealsAre:
    """The kind of real pictures that `--reals` names.

    Raises:
        FileNotFoundError: `given_reals` could not read it.
        ValueError: the folder of a run.
    """
    if given is None:
        return "none"
    path = Path(given)
    refuse_run(path)
    if path.is_dir() or given in sources.SOURCES:
        return "pictures"
    if given == packaged.NAME:
        return "statistics"
    if path.suffix != ".npz" or not path.is_file():
        known = ", ".join([*sources.SOURCES, packaged.NAME])
        raise FileNotFoundError(f"--reals {given} is not a folder, an .npz file or a data set ({known})")
    return "statistics"


def given_reals(given: str, measured: Measured, *, num_workers: int | None = None) -> Reals:
    """Real pictures as the user names them: a folder of pictures, an npz of statistics, or data of the package.

    Raises:
        FileNotFoundError: it is none of these.
        ValueError: its content does not fit; see `known_statistics`, `PictureFolder`, `Measured.size`.
    """
    path = Path(given)
    if kind_of_reals(given) == "statistics":
        if given == packaged.NAME:
            return known_statistics(measured.protocols, packaged.PATH, packaged.statistics(), measured.extractors)
        known = Gaussian.load(path)
        if known.extractor is None and distributed.rank() == 0:
            log.warning(
                "%s does not name its network and resize, and programs resize differently (pytorch-fid otherwise than "
                "the FID's own network): the value is comparable only with values of the program that made the file. "
                "To be sure, give the real pictures, or statistics that --save-statistics wrote",
                path,
            )
        return known_statistics(measured.protocols, path, known, measured.extractors)
    if path.is_dir():
        folder = PictureFolder(path)
        return measure_pictures(
            measured.protocols,
            pictures_of(folder, range(len(folder)), num_workers=num_workers),
            measured.extractors,
            seed=measured.seed,
            source=str(path),
            cache=cache_folder(),
        )
    return composed_reals(measured, sources.source(given, "test"), num_floor=0)


def composed_reals(
    measured: Measured, source: Source, *, num_floor: int | None = None, encode: Encode | None = None
) -> Reals:
    """Held-out pictures of a source at the size of the generated ones; their features are cached.

    As many are measured as were generated, of photographs at most all. `num_floor` is the number of others that are
    measured for the floors: as many once more, if not given and if there are so many.
    """
    num_samples = measured.num_samples
    num_reals = num_samples if source.composes else min(num_samples, len(source))
    if num_floor is None:
        num_floor = num_samples if source.composes or num_reals + num_samples <= len(source) else 0
    return measure_reals(
        measured.protocols,
        source,
        measured.extractors,
        size=measured.size,
        num_reals=num_reals,
        num_floor=num_floor,
        seed=measured.seed,
        encode=encode,
        cache=cache_folder(),
    )


def with_training(
    reals: Reals, measured: Measured, training: Source | None, held_out: Source, *, floor: bool = True
) -> Reals:
    """Adds pictures of the training split, where a protocol fits a classifier to them.

    The floor is of as many held-out pictures as were generated, of photographs at most all.

    Raises:
        ValueError: no classifier can be fitted, see `training_reals.why_none`.
    """
    fitted = [protocol for protocol in measured.protocols if protocol.num_fitted]
    if not fitted or training is None:
        return reals
    num_floor = measured.num_samples if held_out.composes else min(measured.num_samples, len(held_out))
    pictures = measure_training(
        fitted,
        training,
        held_out,
        measured.extractors,
        size=measured.size,
        num_floor=num_floor if floor else 0,
        seed=measured.seed,
        cache=cache_folder(),
    )
    return replace(reals, training=pictures)
