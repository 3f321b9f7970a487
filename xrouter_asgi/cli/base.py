"""What all commands share: how they are added to `xrouter`, and what they say beside their result."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeAlias

from ..settings import known_instead

Commands: TypeAlias = "argparse._SubParsersAction[Parser]"
Run: TypeAlias = Callable[[argparse.Namespace], int]


class Parser(argparse.ArgumentParser):
    """A parser of a command, whose errors say what was meant.

    Attributes:
        options: The options, each with what argparse knows about it.
        commands: The commands below it; None if it has none.
    """

    def __init__(self, **named: Any) -> None:
        self.options: dict[str, argparse.Action] = {}
        self.commands: Commands | None = None
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, **named)

    def add_argument(self, *names: Any, **named: Any) -> argparse.Action:
        action = super().add_argument(*names, **named)
        if action.help is not argparse.SUPPRESS:
            self.options |= dict.fromkeys(action.option_strings, action)
        return action

    def add_commands(self, metavar: str) -> Commands:
        """Have commands below this one. One of them must be given."""
        self.commands = self.add_subparsers(required=True, metavar=metavar)
        return self.commands

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        # argparse tells what nobody knows at the very end, where the parser of the command is no longer at hand.
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            word = unknown[0].partition("=")[0]
            known = [name for name in self.options if name.startswith("--")] if word.startswith("-") else ()
            self.error(f"there is no {word!r} here. {known_instead(word, known) if known else 'Leave it out.'}")
        return found, unknown

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the command line, and end the program with the code 2."""
        wrong = re.match(r"argument \w+: invalid choice: '(.*?)'", message)
        if wrong is not None and self.commands is not None:
            message = f"there is no command {wrong[1]!r}. {known_instead(wrong[1], self.commands.choices)}"
        say(f"{self.prog}: {message}\nMore: {self.prog} --help")
        self.exit(2)


def add_command(commands: Commands, name: str, run: Run, text: str, *, epilog: str) -> Parser:
    """Add a command that `run` carries out. `run` returns the exit code."""
    parser = commands.add_parser(name, help=text, description=text, epilog=epilog)
    parser.set_defaults(run=run)
    return parser


def add_settings_options(
    parser: Parser, *, default: str = "$XROUTER_CONFIG, else ./xrouter.toml, else GIGACHAT_*"
) -> None:
    """Let a command be told where its settings are."""
    parser.add_argument("--config", metavar="FILE", help=f"settings in TOML; default: {default}")
    parser.add_argument("--env-file", metavar="FILE", help="also take variables of the environment from there: .env")


def completed(action: argparse.Action) -> Sequence[str] | None:
    """The words that an option may be given; none for files, and None for anything else."""
    if action.metavar == "FILE":
        return ()
    return [str(each) for each in action.choices] if action.choices else None


def say(text: str) -> None:
    """Print a line on standard error."""
    print(text, file=sys.stderr, flush=True)


def fail(text: str) -> int:
    """Say why a command fails. Returns its exit code."""
    say(text)
    return 1
