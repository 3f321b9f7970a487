"""`xrouter init`: write a file of settings, with comments, from three questions."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path

from .base import Commands, add_command, fail, say
from .starter import KINDS, PEPPER, Starter, model_of

_EXAMPLES = """\
examples:
  xrouter init                                     asks three questions, on a terminal
  xrouter init --provider gigachat --keys          asks only for the model
  xrouter init --provider ollama --model qwen3 --no-keys --config local.toml

Off a terminal nothing is asked: what the options leave open is as it would be if one just pressed Enter."""


def add_init_command(commands: Commands) -> None:
    """Add `init` to the commands of `xrouter`."""
    text = "Write a file of settings with comments, from three questions."
    command = add_command(commands, "init", _init, text, epilog=_EXAMPLES)
    command.add_argument("--config", metavar="FILE", default="xrouter.toml", help="what to write; default: %(default)s")
    command.add_argument("--provider", choices=KINDS, metavar="KIND", help=f"the upstream: {', '.join(KINDS)}")
    command.add_argument("--model", metavar="NAME", help="the model of the upstream that clients get as 'assistant'")
    keys = command.add_mutually_exclusive_group()
    keys.add_argument("--keys", action="store_true", default=None, help="let in only who has an API key")
    keys.add_argument("--no-keys", action="store_false", dest="keys", help="let in everybody on this machine")
    command.add_argument("--force", action="store_true", help="write over a file that is there")


def _init(options: argparse.Namespace) -> int:
    file = Path(options.config)
    if file.exists() and not options.force:
        return fail(f"{file} is there already. Write another one with --config, or over it with --force.")
    if not file.absolute().parent.is_dir():
        return fail(f"There is no folder {str(file.absolute().parent)!r}.")
    ask = _ask if sys.stdin.isatty() else _take_default
    kind = options.provider or ask("Which upstream?", "gigachat", KINDS)
    model = options.model or ask("Which of its models do clients get as 'assistant'?", model_of(kind), ())
    keys = options.keys
    if keys is None:
        keys = (
            ask("Who may use the gateway: this machine, or whoever has a key?", "machine", ("machine", "keys"))
            == "keys"
        )
    starter = Starter(kind, model, keys=keys, certificate=_certificate(file.parent))
    file.write_text(starter.text(), encoding="utf-8")
    if keys:
        _make_pepper(file.parent / PEPPER)
    say(f"{file} is written. Next:\n\n{starter.next_steps(options.config)}")
    return 0


def _ask(question: str, default: str, known: Sequence[str]) -> str:
    """Ask on the terminal, once more after an answer that is not known. Enter takes the default."""
    if known:
        say(f"{question} One of: {', '.join(known)}")
    while True:
        answer = input(f"{'' if known else question + ' '}[{default}] ").strip() or default
        if not known or answer in known:
            return answer
        say(f"{answer!r} is none of them.")


def _take_default(question: str, default: str, known: Sequence[str]) -> str:
    return default


def _certificate(folder: Path) -> str | None:
    """The file with the Russian root certificate, if it lies there under the name that it is downloaded with."""
    return next((each.name for each in sorted(folder.glob("russian_trusted_root_ca*"))), None)


def _make_pepper(file: Path) -> None:
    """Make a secret that only this user can read. One that is there is kept: keys were made with it."""
    try:
        descriptor = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        return
    with os.fdopen(descriptor, "w") as pepper:
        pepper.write(f"{secrets.token_hex(32)}\n")
