"""The memory that training could take on this machine."""

import os
from pathlib import Path

import torch

from sclgan import distributed


def available_memory() -> int:
    """Bytes that this process could still take: of its accelerator, or else of the machine's or its container's RAM."""
    device = distributed.device()
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return min([_of_machine(), *_of_container()])


def _of_machine() -> int:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):  # not Linux: all that there is
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _of_container() -> list[int]:
    """What the limit of a control group leaves, where there is one; files that it would drop count as free."""
    folder = Path("/sys/fs/cgroup")
    try:
        limit, used = (int((folder / name).read_text()) for name in ("memory.max", "memory.current"))
        dropped = sum(
            int(line.split()[1])
            for line in (folder / "memory.stat").read_text().splitlines()
            if line.split()[0] in ("active_file", "inactive_file")
        )
    except (OSError, ValueError):  # no such file, or "max"
        return []
    return [limit - used + dropped]
