"""Pictures written to files, in the format that the ending of the name says."""

from pathlib import Path

from PIL import Image

from sclgan.files import replaced


def picture_format(path: Path) -> str:
    """The format of a picture file by its ending: PNG, or JPEG for .jpg and .jpeg.

    Raises:
        ValueError: another ending, or the path of a folder.
    """
    if path.is_dir():
        raise ValueError(f"{path} is a folder: name the picture file to write, such as {path / 'pictures.png'}")
    known = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
    if path.suffix.lower() not in known:
        raise ValueError(f"{path}: pictures are written as .png or .jpg; give the file such an ending")
    return known[path.suffix.lower()]


def write_picture(picture: Image.Image, path: Path) -> None:
    """Writes a picture in the format of its ending; the file is whole or absent.

    Raises:
        ValueError: see `picture_format`.
    """
    kind = picture_format(path)
    with replaced(path) as temporary:
        picture.save(temporary, kind, **({"quality": 95, "subsampling": 0} if kind == "JPEG" else {}))
