"""The command line: `sclgan COMMAND`, or `python -m sclgan COMMAND`; under torchrun with several processes."""

import logging
import os
import signal
import sys
import textwrap
from collections.abc import Callable, Sequence
from itertools import islice
from typing import NoReturn

import tyro

from sclgan import __version__
from sclgan.commands import data, publishing, results, runs, serving
from sclgan.commands.printing import say
from sclgan.data.names import nearest

COMMANDS: dict[str, Callable[..., None]] = {
    command.__name__.rstrip("_").replace("_", " "): command
    for command in (
        *(runs.recipes, runs.describe),
        *(data.data, data.data_check, data.data_pairs, data.data_pack, data.data_index, data.data_verify),
        *(runs.pretrain, runs.train, runs.sample),
        *(results.evaluate, results.protocols, results.compare, results.table, results.figure),
        *(serving.serve, publishing.export, publishing.publish, runs.import_),
    )
}
DISTRIBUTED = {"pretrain", "train", "evaluate", "table"}
"""The commands that several processes under torchrun can share."""

INTRODUCTION = """\
usage: sclgan COMMAND [ARGUMENTS]

Text-to-image GANs with label-guided supervised contrastive learning.
`sclgan COMMAND --help` explains a command; `sclgan --version` is the version.
"""


def main() -> None:
    """Runs a command; a known error is one line on stderr and exit code 1, a usage error 2, an interruption 130.

    Any other error is a bug and shows its traceback.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    arguments = positionals_first(one_command(sys.argv[1:]))
    if arguments == ["--version"]:
        print(f"sclgan {__version__}")
        return
    if arguments in (["--help"], ["-h"]):
        print(overview())
        return
    if not arguments:
        print(overview(), file=sys.stderr)
        sys.exit(2)
    in_a_group = "RANK" in os.environ and bool(arguments) and arguments[0] in DISTRIBUTED
    try:
        if in_a_group:
            from sclgan.distributed import initialise

            initialise()
        check_command(arguments)
        tyro.extras.subcommand_cli_from_dict(COMMANDS, prog="sclgan", args=arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has seen enough, as in `sclgan recipes | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except (ValueError, OSError, FloatingPointError, ModuleNotFoundError) as error:
        fail(error)
    except RuntimeError as error:
        known = explained(error)
        if known is None:
            raise
        fail(known)
    except KeyboardInterrupt as stopped:
        say(str(stopped) or "interrupted")
        sys.exit(130)
    finally:
        if in_a_group:
            from sclgan.distributed import shut_down

            shut_down()


def overview() -> str:
    """Every command with the first line of its help, on 80 columns."""
    lines = [INTRODUCTION]
    for name, command in COMMANDS.items():
        summary = (command.__doc__ or "").split("\n")[0]
        lines.append(textwrap.fill(summary, 79, initial_indent=f"  {name:<13}", subsequent_indent=" " * 15))
    return "\n".join(lines)


def one_command(arguments: Sequence[str]) -> list[str]:
    """Joins a command of two words, such as `data pack`, into one argument."""
    two = " ".join(arguments[:2])
    return [two, *arguments[2:]] if two in COMMANDS else list(arguments)


FLAGS = {"--attention", "--accept-changed-data", "--private"}
FLAGS |= {"-h", "--help", *(flag.replace("--", "--no-") for flag in FLAGS)}
"""The options that take no value."""


def positionals_first(arguments: Sequence[str]) -> list[str]:
    """Moves all options behind the other arguments, so that FIELD=VALUE may be anywhere.

    tyro refuses `train R a=1 --out D b=2`, and it is common to repeat a command with one more field. Text of several
    words is never an option: a caption such as "- a red apple" follows "--", with all captions after it.
    """
    positionals: list[str] = []
    options: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if argument == "--":
            return [*positionals, *options, argument, *rest]
        if not argument.startswith("-") or len(argument.partition("=")[0].split()) > 1:
            positionals.append(argument)
        elif argument in FLAGS or "=" in argument:
            options.append(argument)
        else:
            options += [argument, *islice(rest, 1)]
    dashed = next((place for place, text in enumerate(positionals) if text.startswith("-")), None)
    if dashed is None:
        return positionals + options
    return [*positionals[:dashed], *options, "--", *positionals[dashed:]]


def check_command(arguments: Sequence[str]) -> None:
    """Ends with a usage error if the first argument is a word but not a command."""
    if arguments and not arguments[0].startswith("-") and arguments[0] not in COMMANDS:
        say(
            f"no command '{arguments[0]}': did you mean '{nearest(arguments[0], COMMANDS)}'? `sclgan --help` lists them"
        )
        sys.exit(2)


def explained(error: RuntimeError) -> Exception | None:
    """Translates the errors of torch that are not bugs of ours into what to do; None for any other error."""
    import torch

    from sclgan.distributed import is_lost_connection

    if isinstance(error, torch.OutOfMemoryError):
        return MemoryError("the accelerator is out of memory: lower the batch size of the phase, or the model's width")
    if is_lost_connection(error):
        return ConnectionError(
            "another rank ended: its own message, or torchrun's report, says why. "
            "The newest checkpoint is whole: repeat the command to continue from it"
        )
    return None


def fail(error: Exception) -> NoReturn:
    """Prints one line about an error that the user can fix; SCLGAN_TRACEBACK=1 shows where it came from."""
    if os.environ.get("SCLGAN_TRACEBACK"):
        raise error
    say(f"{type(error).__name__}: {error}")
    sys.exit(1)


if __name__ == "__main__":
    main()
