"""What all commands share: how they are added to `xrouter`, and what they say beside their result."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
Run: TypeAlias = Callable[[argparse.Namespace], int]


def add_command(commands: Commands, name: str, run: Run, text: str, *, epilog: str) -> argparse.ArgumentParser:
    """Add a command that `run` carries out. `run` returns the exit code."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = commands.add_parser(name, help=text, description=text, epilog=epilog, formatter_class=raw)
    parser.set_defaults(run=run)
    return parser


def say(text: str) -> None:
    """Print a line on standard error."""
    print(text, file=sys.stderr, flush=True)


def fail(text: str) -> int:
    """Say why a command fails. Returns its exit code."""
    say(text)
    return 1
