"""The memory that `sclgan describe --cost` estimates, beside what a real step takes on the CPU.

    python benchmarks/cost.py [RECIPE ...] [FIELD=VALUE ...]        such as ssagan_cub training.batch_size=2

Each recipe runs in a process of its own, which has its own peak: that of two steps, less what the process held before
the networks were built.
"""

import resource
import subprocess
import sys

from sclgan.recipe_fields import override
from sclgan.recipes import recipe
from sclgan.train.cost import data_sizes, seconds_per_step, step_cost

DEFAULT = ("attngan_cub", "dmgan_cub", "ssagan_cub", "galip_cub")


def held() -> int:
    """The peak of this process in bytes so far."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def measure(name: str, fields: list[str]) -> None:
    """Prints the line of one recipe."""
    made = override(recipe(name), fields)
    settings, sizes = made.training, data_sizes(made)
    before = held()
    seconds = seconds_per_step(made, settings, sizes)
    measured = held() - before
    estimated = step_cost(made, settings, sizes).memory.total
    print(
        f"{name:<14}{' '.join(fields):<50}{estimated / 2**30:7.2f} GiB estimated {measured / 2**30:7.2f} measured "
        f"{estimated / measured:6.2f}  {seconds:.1f} s",
        flush=True,
    )


def main() -> None:
    """Measures the recipes of the command line."""
    fields = [one for one in sys.argv[1:] if "=" in one]
    names = [one for one in sys.argv[1:] if "=" not in one]
    if "--here" in names:
        measure(names[-1], fields)
        return
    for name in names or DEFAULT:
        subprocess.run([sys.executable, __file__, "--here", name, *fields], check=True)


if __name__ == "__main__":
    main()
