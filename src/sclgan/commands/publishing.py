"""Commands that hand a run on: ONNX files, and folders for the Hugging Face Hub."""

from pathlib import Path
from typing import Annotated

from tyro.conf import UseAppendAction, arg

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


def publish(
    run: RunFolder,
    *,
    out: Annotated[Path, arg(metavar="DIR", help="Folder to write; a model that was written there is replaced.")],
    push: Annotated[
        str | None, arg(metavar="USER/NAME", help="Repository on the Hugging Face Hub that the folder is uploaded to.")
    ] = None,
    private: Annotated[bool, arg(help="Make a new repository private.")] = False,
    caption: Annotated[
        UseAppendAction[tuple[str, ...]],
        arg(metavar="CAPTION", help="Caption for the card's pictures; repeat for several. Without it, held-out ones."),
    ] = (),
    license: Annotated[
        str | None,
        arg(metavar="ID", help="Licence of the model, such as cc-by-4.0. Without it, what the data's terms tell."),
    ] = None,
    attribution: Annotated[
        Path | None, arg(metavar="FILE", help="Markdown about the makers and the terms of the data, for the card.")
    ] = None,
    checkpoint: Checkpoint = "last",
) -> None:
    """Write a run as a folder for others: weights, configuration, tokenizer, card and pictures.

    `sclgan sample` and `sclgan.from_pretrained` read it. Uploading needs the extra 'sclgan[hub]'.

    Example: sclgan publish runs/scl --out published --license cc-by-4.0
    """
    from sclgan import models

    folder = models.find_run(run)

    from sclgan.publishing.publish import check_licence, check_place
    from sclgan.publishing.publish import publish as write
    from sclgan.publishing.push import check_name
    from sclgan.publishing.push import push as upload

    if push is not None:
        check_name(push)
        models.hub.library()
    check_place(out)
    check_licence(license)
    files = write(
        folder,
        out,
        checkpoint=checkpoint,
        where=push,
        captions=caption,
        licence=license,
        attribution=None if attribution is None else attribution.read_text(encoding="utf-8"),
    )
    for file in files:
        print(file)
    if push is not None:
        print(upload(out, push, private=private))
