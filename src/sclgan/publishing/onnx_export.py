"""A run as two ONNX graphs and a tokenizer, which draw without torch and without this package.

FILE.onnx          noise and codes to pictures; "words" and "mask" are inputs where the GAN reads them
FILE.text.onnx     tokens [b t] and their numbers [b] to the codes "sentence", "words" and "mask"
FILE.tokens.json   the tokenizer
"""

import importlib
import logging
import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

import sclgan
from sclgan.data.needed import optional_library
from sclgan.files import check_own, replaced, sha256_of
from sclgan.publishing.graphs import ImageGraph, text_graph
from sclgan.publishing.token_files import write_tokens
from sclgan.random import Stream, normal
from sclgan.runs.opened import Run

log = logging.getLogger(__name__)

OPSET = 18
"""The version of ONNX's operators that the graphs are written in: the one torch's exporter is written for."""
LIBRARIES = ("torch", "onnx", "onnxscript", "onnxruntime")
LARGEST_DIFFERENCE = 1e-4
"""Largest difference from torch's picture that is accepted, as a share of the range of pixels."""
LARGEST_FILE = 2**31 - 2**20
"""Bytes of weights that one ONNX file can hold."""
MARK = "sclgan_version"
"""The key in the metadata by which a file is known as ours."""
CODES = ("sentence", "words", "mask")


@dataclass(frozen=True)
class Exported:
    """The files, and the largest difference of a picture from torch's as a share of the range of pixels."""

    files: tuple[Path, Path, Path]
    difference: float


def files_of(out: Path) -> tuple[Path, Path, Path]:
    """The files of an export: generator, text encoder, tokenizer.

    Raises:
        ValueError: `out` does not end with .onnx, or one of them exists and is not ours.
    """
    if out.suffix != ".onnx" or out.name.endswith(".text.onnx"):
        raise ValueError(f"--out names the file of the generator, such as apple.onnx, not {out}")
    text, tokens = out.with_suffix(".text.onnx"), out.with_suffix(".tokens.json")
    for path in (out, text):
        check_own(path, MARK.encode())
    if tokens.is_file() and tokens.stat().st_size:  # its SHA-256 stands in the graph that was written with it
        known = text.is_file() and sha256_of(tokens).encode() in text.read_bytes()
        if not known:
            check_own(tokens, b"\0")
    return out, text, tokens


def require_libraries() -> None:
    """Checks that torch's exporter and the runtime are installed.

    Raises:
        ModuleNotFoundError: one is not; the message says how to install it.
    """
    for name in LIBRARIES:
        optional_library(name, package=name, what="export", install="'sclgan[onnx]'")


def export_onnx(run: Run, out: Path) -> Exported:
    """Writes the files, all or none, after onnxruntime has drawn from them what torch draws.

    The graphs accept any number of rows. They are computed in float32, on the CPU while they are made.

    Raises:
        ModuleNotFoundError: the extra "onnx" is not installed.
        ValueError: a file exists and is not ours; the run has no ONNX form, or another picture in it.
    """
    files = files_of(out)
    require_libraries()
    encoders, gan = run.encoders.cpu(), run.gan
    gan.generator.cpu()
    captions = run.tokenizer(_captions(run, 2))
    codes = encoders.encode_text(captions)
    z = normal(2, gan.z_dim, Stream.SAMPLE, 0)
    parts: tuple[tuple[nn.Module, Mapping[str, Tensor], Sequence[str]], ...] = (
        (ImageGraph(gan, encoders).eval(), {"z": z} | {name: getattr(codes, name) for name in CODES}, ["image"]),
        (text_graph(encoders), {"tokens": captions.tokens, "lengths": captions.lengths}, CODES),
    )
    with ExitStack() as stack:
        image_file, text_file, token_file = (stack.enter_context(replaced(path)) for path in files)
        write_tokens(run.tokenizer, token_file)
        facts = {
            MARK: sclgan.__version__,
            "recipe": run.recipe.name,
            "step": str(run.step),
            "image_size": str(run.recipe.image_size),
            "opset": str(OPSET),
            **{f"{name}_version": version(name) for name in LIBRARIES},
            "tokens_sha256": sha256_of(token_file),
        }
        for path, (graph, inputs, outputs) in zip((image_file, text_file), parts, strict=True):
            program = exported_graph(graph, inputs, outputs)
            program.model.metadata_props.update(facts)
            program.save(path)
        difference = _difference(run, image_file, text_file)
        if not difference <= LARGEST_DIFFERENCE:
            raise ValueError(
                f"pictures of the ONNX files differ from torch's by {difference:.1e} of the range of pixels, more than "
                f"{LARGEST_DIFFERENCE:.0e}: nothing was written; has the run diverged?"
            )
    return Exported(files, difference)


def exported_graph(graph: nn.Module, inputs: Mapping[str, Tensor], outputs: Sequence[str]) -> Any:
    """The graph as an ONNX program with a free number of rows; inputs that it does not use are left out.

    Raises:
        ValueError: torch cannot export it; the message repeats the reason.
    """
    size = sum(tensor.numel() * tensor.element_size() for tensor in graph.state_dict().values())
    if size > LARGEST_FILE:
        raise ValueError(f"an ONNX file holds up to 2 GB, and {outputs[0]} needs {size:,} bytes of weights")
    rows = torch.export.Dim("batch")
    with warnings.catch_warnings(), torch.no_grad():
        # Several inputs share the name of their number of rows, as they should.
        warnings.filterwarnings("ignore", message="# The axis name: batch will not be used", category=UserWarning)
        try:
            program = torch.onnx.export(
                graph,
                tuple(inputs.values()),
                dynamo=True,
                verbose=False,
                opset_version=OPSET,
                input_names=list(inputs),
                output_names=list(outputs),
                dynamic_shapes=tuple({0: rows} for _ in inputs),
            )
        except torch.onnx.OnnxExporterError as error:
            reason = str(error.__cause__ or error).splitlines()[0]
            raise ValueError(f"torch {torch.__version__} cannot export {outputs[0]} to ONNX: {reason}") from error
    assert program is not None
    for value in list(program.model.graph.inputs):
        if not value.uses():
            program.model.graph.inputs.remove(value)
    return program


def _captions(run: Run, number: int) -> list[str]:
    """Captions of one, two, ... words that the tokenizer knows."""
    words = getattr(run.tokenizer, "words", ["red", "apple", "white", "background"])
    return [" ".join(words[: min(row, run.tokenizer.max_words)]) for row in range(1, number + 1)]


def _difference(run: Run, image_file: Path, text_file: Path) -> float:
    """The largest difference of any pixel from torch's, of [-1, 1], as a share of 2; in another number of rows."""
    num_rows = 3
    captions = run.tokenizer(_captions(run, num_rows))
    z = normal(num_rows, run.gan.z_dim, Stream.SAMPLE, 1)
    with torch.no_grad():
        expected = run.gan.generate(z, run.encoders.encode_text(captions)).image
    tokens = {"tokens": captions.tokens.numpy(), "lengths": captions.lengths.numpy()}
    codes = dict(zip(CODES, computed(text_file, tokens), strict=True))
    (image,) = computed(image_file, {"z": z.numpy(), **codes})
    return float(np.abs(image - expected.numpy()).max()) / 2


def computed(path: Path, given: Mapping[str, np.ndarray]) -> list[Float[np.ndarray, "b ..."]]:
    """The outputs of a graph; arrays that are not among its inputs are left out."""
    runtime = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    outputs: list[np.ndarray] = session.run(None, {one.name: given[one.name] for one in session.get_inputs()})
    return outputs
