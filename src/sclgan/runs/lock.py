"""One command per folder: a lock that the system releases when its process ends, however it ends."""

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sclgan import distributed

log = logging.getLogger(__name__)

LOCK = ".lock"
NOT_SUPPORTED = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keeps a run folder for this command within the `with`; the ranks of one job share the lock, which rank 0 holds.

    The lock belongs to the process: workers that load its data do not keep the folder locked when it is killed.

    Raises:
        ValueError: another command trains in the folder.
    """
    descriptor, refusal = _acquired(folder) if distributed.rank() == 0 else (None, None)
    if refusal := distributed.gather_objects(refusal)[0]:
        raise ValueError(refusal)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _acquired(folder: Path) -> tuple[int | None, str | None]:
    """The open lock file, or why it could not be locked."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl  # Unix only
    except ImportError:
        return None, None
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if error.errno in NOT_SUPPORTED:
            log.warning("%s is on a file system without locks: make sure that no other command trains in it", folder)
            return None, None
        if error.errno not in (errno.EACCES, errno.EAGAIN):
            raise
        return None, f"another command trains in {folder}: wait for it or stop it, or give another --out"
    return descriptor, None
