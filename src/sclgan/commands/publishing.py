"""Commands that hand a run on: ONNX files, and folders for the Hugging Face Hub."""

from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from sclgan.commands.arguments import Checkpoint, RunFolder


def export(
    run: RunFolder,
    *,
    out: Annotated[
        Path,
        arg(metavar="FILE", help="ONNX file of the generator; FILE.text.onnx and FILE.tokens.json come beside it."),
    ],
    checkpoint: Checkpoint = "last",
) -> None:
    """Write a run as ONNX files, which draw without torch.

    They are compared with torch before they are kept. Needs the extra 'sclgan[onnx]'.

    Example: sclgan export runs/scl --out apple.onnx
    """
    from sclgan import models

    folder = models.find_run(run)

    from sclgan.publishing.onnx_export import export_onnx, files_of, require_libraries
    from sclgan.runs.opened import open_run

    files_of(out)
    require_libraries()
    exported = export_onnx(open_run(folder, checkpoint, images=False), out)
    for file in exported.files:
        print(file)
    print(f"pictures differ from torch's by up to {exported.difference:.1e} of the range of pixels")
