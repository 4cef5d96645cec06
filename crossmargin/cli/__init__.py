"""The command `crossmargin`: demo, compare, explain, where, read, report, study, rules, conformance, warmup.

Call `main(arguments)`; it returns the exit code. A command computes its whole output before any of it is printed,
so that nothing partial is ever shown as if it were whole. Nothing is calculated here: each group of commands has its
file, whose `add` says what it is called with.
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from collections.abc import Sequence

from crossmargin.cli import book, page, read, rules, study
from crossmargin.cli.inputs import INTERRUPTED, REFUSED, Output, version
from crossmargin.errors import CrossMarginError

GROUPS = (book, read, page, study, rules)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    Parameters
    ----------
    arguments
        As on the command line, without the name of the program; those of the process when None.

    Returns
    -------
    int
        0 when done, 1 when a worked case failed, 2 when the input is wrong: then every problem stands on the
        error stream and nothing on the output.

    Examples
    --------
    >>> main(["rules", "two_pot_spread_credit", "--json"]) == 0
    {...
    True
    """
    chosen = _parser().parse_args(arguments)
    try:
        output: Output = chosen.run(chosen)
    except (CrossMarginError, OSError) as error:
        print(f"crossmargin: {error}", file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        return INTERRUPTED
    return _printed(output)


def _printed(output: Output) -> int:
    try:
        print(output.text.rstrip("\n"), flush=True)
    except BrokenPipeError:  # the reader, `head` perhaps, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return output.code


def _parser() -> ArgumentParser:
    parser = ArgumentParser("crossmargin", description="Margin of one book under three regimes, every figure sourced.")
    parser.add_argument("--version", action="version", version=f"crossmargin {version()}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for group in GROUPS:
        group.add(commands)
    return parser
