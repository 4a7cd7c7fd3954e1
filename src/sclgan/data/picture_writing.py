"""Pictures written to files, in the format that the ending of the name says, and marked as the package's own."""

from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from sclgan.files import MARK, check_own, replaced


def picture_format(path: Path) -> str:
    """The format of a picture file that can be written, by its ending: PNG, or JPEG for .jpg and .jpeg.

    Raises:
        ValueError: another ending, the path of a folder, or that of a file which this package did not write.
    """
    if path.is_dir():
        raise ValueError(f"{path} is a folder: name the picture file to write, such as {path / 'pictures.png'}")
    known = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
    if path.suffix.lower() not in known:
        raise ValueError(f"{path}: pictures are written as .png or .jpg; give the file such an ending")
    check_own(path)
    return known[path.suffix.lower()]


def write_picture(picture: Image.Image, path: Path) -> None:
    """Writes a picture in the format of its ending; the file is whole or absent.

    Raises:
        ValueError: see `picture_format`.
    """
    kind = picture_format(path)
    with replaced(path) as temporary:
        if kind == "JPEG":
            picture.save(temporary, kind, quality=95, subsampling=0, comment=MARK)
        else:
            notes = PngInfo()
            notes.add_text("Software", MARK.decode())
            picture.save(temporary, kind, pnginfo=notes)
