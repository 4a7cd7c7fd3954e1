"""Damaged and hostile files of every kind that the commands read, and what must hold when they are read."""

import io
import json
import pickle
import random
import resource
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch

import photos_on_disk
from command_line import APPLE, Ended, done, sclgan
from runs import SCL, small_fields
from sclgan.encoders.damsm import DAMSM
from sclgan.encoders.inception import InceptionTrunk
from test_importing_official import image_state, write_captions

Trial = Callable[[random.Random, Path], str]
"""One attempt in an empty folder; returns what was wrong, or nothing."""
Commands = Callable[[Path, Path], Iterable[Sequence[object]]]
"""The command lines that read a damaged copy; they may write into the second folder."""

MEMORY = 2**31  # bytes that a command may take beyond what this process has taken before
EXECUTED = "executed"
"""A file that hostile code would write into the working folder."""
ONE_STEP = ("pretraining.steps=1", "training.steps=1")


def impolite(ended: Ended, *, quotes: bool = False) -> str:
    """What is wrong with how a command ended, or nothing.

    `quotes` allows a usage error to show an escape sequence: the user typed it.
    """
    if "Traceback" in ended.err:
        return f"a traceback: {ended.err.strip().splitlines()[-1]}"
    if ended.code not in (0, 1, 2):
        return f"exit code {ended.code}"
    if "\x1b" in ended.out + ended.err and not (quotes and ended.code == 2):
        return "an escape sequence reached the terminal"
    if ended.code == 1 and not any(line.startswith("sclgan") for line in ended.err.splitlines()):
        return "it failed without a word"
    return ""


def damaged(original: Path, commands: Commands) -> Trial:
    """Damages one file of a folder in one way, then reads the folder by some commands."""

    def trial(chance: random.Random, folder: Path) -> str:
        copy = Path(shutil.copytree(original, folder / "given"))
        files = sorted(path for path in copy.rglob("*") if path.is_file() and not path.name.startswith("events"))
        of_ending: dict[str, list[Path]] = {}
        for one in files:
            of_ending.setdefault(one.suffix, []).append(one)
        path = chance.choice(of_ending[chance.choice(sorted(of_ending))])
        kinds = DAMAGES | HOSTILE.get(path.suffix, {})
        name = chance.choice(sorted(kinds))
        path.write_bytes(kinds[name](path.read_bytes(), chance))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for arguments in commands(copy, folder):
            wrong = impolite(sclgan(*arguments))
            taken = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
            if taken > MEMORY:
                wrong = wrong or f"{taken / 2**30:.1f} GiB of memory"
            if Path(EXECUTED).exists():
                wrong = "code in the file was executed"
            if wrong:
                return f"{path.relative_to(copy)}, {name}: {arguments[0]}: {wrong}"
        return ""

    return trial


# What is read


def run_commands(fields: Sequence[str]) -> Commands:
    """Draws with a run, evaluates, compares and continues it."""

    def commands(run: Path, free: Path) -> list[Sequence[object]]:
        return [
            ("sample", run, APPLE, "--out", free / "a.png", "--num-images", 1),
            ("evaluate", run, "--protocol", "background_accuracy", "--num-images", 4),
            ("compare", run, "--out", free / "page"),
            ("train", SCL, *fields, "training.steps=7", "--out", run),
        ]

    return commands


def pack_commands(pack: Path, free: Path) -> list[Sequence[object]]:
    """Shows, verifies and streams a pack, trains on it, and indexes it again."""
    fields = small_fields(SCL, *ONE_STEP)
    return [
        ("data", pack, "--out", free / "sheet.png", "--rows", 1, "--columns", 2),
        ("data", "verify", pack),
        ("pretrain", SCL, *fields, "--data", pack, "--out", free / "run"),
        ("pretrain", SCL, *fields, "--data", pack, "--stream", f"{pack}/train-000000.tar", "--out", free / "streamed"),
        ("data", "index", pack, "--damaged", "skip"),
    ]


def picture_commands(statistics: Path) -> Commands:
    """Checks a folder of pictures, packs it and grades it against sound statistics."""

    def commands(pictures: Path, free: Path) -> list[Sequence[object]]:
        reals = ("--protocol", "fd_lite0", "--reals", statistics / "reals.npz")
        return [
            ("data", "check", pictures, "--image-size", 32),
            ("data", "pack", "folder", "--root", pictures, "--size", 32, "--damaged", "skip", "--out", free / "pack"),
            ("data", "pairs", pictures, "--batch-size", 4),
            ("evaluate", pictures, *reals, "--out", free / "records.jsonl"),
        ]

    return commands


def statistics_commands(pictures: Path) -> Commands:
    """Grades sound pictures against damaged statistics."""

    def commands(folder: Path, free: Path) -> list[Sequence[object]]:
        reals = ("--reals", folder / "reals.npz")
        return [("evaluate", pictures, "--protocol", "fd_lite0", *reals, "--out", free / "records.jsonl")]

    return commands


def published_commands(folder: Path, free: Path) -> list[Sequence[object]]:
    """Imports published encoders."""
    files = (folder / "text_encoder200.pth", folder / "image_encoder200.pth")
    return [("import", *files, "--kind", "damsm", "--captions", folder / "captions.pickle", "--out", free / "run")]


# Sound examples


def write_pack(root: Path) -> Path:
    """Three classes of birds as a pack."""
    done("data", "pack", "cub", "--root", photos_on_disk.birds(root / "birds"), "--size", 64, "--out", root / "pack")
    return root / "pack"


def write_statistics(pictures: Path, folder: Path) -> Path:
    """Statistics of the pictures, alone in a folder."""
    folder.mkdir()
    saved = ("--save-statistics", folder / "reals.npz", "--out", folder.parent / "records.jsonl")
    done("evaluate", pictures, "--reals", pictures, "--protocol", "fd_lite0", *saved)
    return folder


def write_published(folder: Path) -> Path:
    """Encoders and captions.pickle as AttnGAN's authors publish them."""
    folder.mkdir()
    torch.manual_seed(0)
    words = ["a", "small", "red", "bird", "with", "yellow", "wings"]
    trunk = lambda: InceptionTrunk(None, align_corners=True)  # noqa: E731
    damsm = DAMSM(len(words) + 1, trunk, code_size=16, embedding_size=12).eval()
    torch.save(damsm.text_encoder.state_dict(), folder / "text_encoder200.pth")
    torch.save(image_state(damsm), folder / "image_encoder200.pth")
    write_captions(folder / "captions.pickle", words)
    return folder


# Damages


def _with_another_byte(content: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(max(1, len(content)))
    return content[:place] + bytes([chance.randrange(256)]) + content[place + 1 :]


Damage = Callable[[bytes, random.Random], bytes]
DAMAGES: dict[str, Damage] = {
    "empty": lambda content, _: b"",
    "cut": lambda content, chance: content[: chance.randrange(max(1, len(content)))],
    "a byte": _with_another_byte,
    "noise": lambda _, chance: chance.randbytes(chance.randrange(1, 5000)),
    "a list": lambda *_: b"[[], {}, null]",
    "deep": lambda *_: b"[" * 50_000,
    "numbers": lambda *_: b'{"step": 1e999, "name": 5, "sha256": []}',
    "escapes": lambda *_: b'{"name": "\\u001b[2J\\n0 errors", "step": "7"}',
}


def _png(width: int, height: int) -> bytes:
    """The beginning of a PNG of that size."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(10_000))) + chunk(b"IEND", b"")


def _array(shape: tuple[int, ...]) -> bytes:
    """The header of an array without its numbers."""
    file = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue()


def _archive(array: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("mu.npy", "sigma.npy"):
            archive.writestr(name, array)
    return file.getvalue()


def _shard(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    """A shard with one header that claims `size` bytes."""
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = size, kind, "/etc/passwd"
    return info.tobuf(tarfile.GNU_FORMAT) + bytes(2048)


class _Call:
    """Pickled, a call that writes a file."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, str]]:
        return open, (EXECUTED, "w")


def _fields_replaced(content: bytes, chance: random.Random) -> bytes:
    """A JSON object with one of its values replaced, at any depth."""
    try:
        found = node = json.loads(content)
    except ValueError:
        return b"null"
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node))) if isinstance(node, list) else []
        if not keys:
            return b"null"
        key = chance.choice(keys)
        if isinstance(node[key], dict | list) and node[key] and chance.random() < 0.7:
            node = node[key]
            continue
        node[key] = chance.choice([None, -1, 0, 1e308, 2**70, "", "../../x", "\x1b[2J", [], {}, True, [[[]]]])
        return json.dumps(found).encode()


_SHARDS: dict[str, Damage] = {
    "a member of 2^50 bytes": lambda *_: _shard("0.jpg", 2**50),
    "a name that leaves the folder": lambda content, _: _shard("../../0.jpg", 0) + content,
    "a link": lambda content, _: _shard("0.jpg", 0, tarfile.SYMTYPE)[:512] + content,
    "a device": lambda content, _: _shard("0.jpg", 0, tarfile.CHRTYPE)[:512] + content,
}
_PICTURES: dict[str, Damage] = {
    "170,000,000 x 1 pixels": lambda *_: _png(170_000_000, 1),
    "100,000 x 100,000 pixels": lambda *_: _png(100_000, 100_000),
    "8,000 x 8,000 pixels, cut": lambda *_: _png(8000, 8000),
    "1 x 60,000 pixels": lambda *_: _png(1, 60_000),
    "0 x 0 pixels": lambda *_: _png(0, 0),
    "a bitmap": lambda *_: b"BM" + bytes(100),
    "a page": lambda *_: b"<html><body>404</body></html>",
    "PostScript": lambda *_: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n",
}
_PICKLES: dict[str, Damage] = {
    "a call": lambda *_: pickle.dumps(_Call()),
    "a memo of 2^31": lambda *_: b"\x80\x02Nr\xff\xff\xff\x7f.",
    "bytes of 2^40": lambda *_: b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b".",
}
_ARRAYS: dict[str, Damage] = {"8 TiB": lambda *_: _array((2**20, 2**20)), "negative": lambda *_: _array((-1, 4))}
HOSTILE: dict[str, dict[str, Damage]] = {
    ".json": {"a value": _fields_replaced},
    ".jsonl": {"a value": lambda content, chance: _fields_replaced(content.splitlines()[0], chance) + b"\n" + content},
    ".tar": _SHARDS,
    ".jpg": _PICTURES,
    ".png": _PICTURES,
    ".pickle": _PICKLES,
    ".pt": _PICKLES,
    ".pth": _PICKLES,
    ".npy": _ARRAYS,
    ".npz": {
        "8 TiB": lambda *_: _archive(_array((2**20, 2**20))),
        "7 GB": lambda *_: _archive(_array((30_000, 30_000)) + bytes(2**24)),
        "text": lambda *_: _archive(b"not an array"),
        "objects": lambda *_: _archive(_array((4,)).replace(b"<f8", b"|O ") + pickle.dumps([_Call()] * 4)),
    },
    ".safetensors": {
        "a header of 2^40 bytes": lambda *_: struct.pack("<Q", 2**40) + b"{}",
        "a value": lambda content, chance: _header_replaced(content, chance),
    },
}


def _header_replaced(content: bytes, chance: random.Random) -> bytes:
    """A safetensors file with another value in its header."""
    (length,) = struct.unpack("<Q", content[:8])
    header = _fields_replaced(content[8 : 8 + length], chance)
    return struct.pack("<Q", len(header)) + header + content[8 + length :]
