"""The command line: `xrouter init | serve | chat | check | …`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

from ..settings import SettingsError, read_env_file
from .admin import add_admin_command
from .base import Parser, fail, say
from .chat.command import add_chat_command
from .completions import add_completions_command
from .init import add_init_command
from .inspection import add_check_command, add_explain_command
from .keys.command import add_keys_command
from .litellm.command import add_import_command
from .log import set_up_log
from .prices import add_prices_command
from .run import add_run_command
from .serve import add_serve_commands
from .spend import add_spend_command

_EXAMPLES = """\
examples:
  xrouter demo                            a model that echoes, without a key, a file or a network
  xrouter init && xrouter serve           a file of settings from three questions, and a gateway
  GIGACHAT_CREDENTIALS=KEY xrouter serve  every model of GigaChat
  xrouter chat                            talk to a gateway that runs here
  xrouter check --live                    is everything there that the settings need?"""
_ENV_FILE = Path(".env")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns the exit code: 0, 1 for something that the user can fix, 2 for a wrong command line, 130 after Ctrl+C.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    set_up_log()
    try:
        if "run" not in options:
            parser.print_help()
            return 2
        _take_in(options)
        code: int = options.run(options)
        sys.stdout.flush()  # here, because a reader who has left is no error
    except SettingsError as error:
        return _told(error, options)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whoever read has gone; the interpreter would say so at its end
        return 0
    return code


def _take_in(options: argparse.Namespace) -> None:
    """Put the variables of `--env-file` into the environment, where nothing of that name is set."""
    file = getattr(options, "env_file", None)
    if file is not None:
        for name, value in read_env_file(Path(file)).items():
            os.environ.setdefault(name, value)


def _told(error: SettingsError, options: argparse.Namespace) -> int:
    text = "\n".join(error.problems)
    code = fail(text)
    if "env_file" in options and options.env_file is None and any(name in text for name in _unread()):
        say("There is a .env here. To read it: --env-file .env")
    return code


def _unread() -> Iterable[str]:
    """The variables of a `.env` that lies here."""
    try:
        return read_env_file(_ENV_FILE)
    except SettingsError:  # there is none, or it is another program's
        return ()


def _parser() -> Parser:
    parser = Parser(
        prog="xrouter",
        description="An LLM gateway: one address with OpenAI's and Anthropic's APIs, before GigaChat and others.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("--version", action="version", version=f"xrouter {version('xrouter-asgi')}")
    commands = parser.add_commands("COMMAND")
    commands.required = False  # without one there is help
    add_init_command(commands)
    add_serve_commands(commands, os.environ)
    add_chat_command(commands, os.environ)
    add_check_command(commands, os.environ)
    add_explain_command(commands)
    add_keys_command(commands, os.environ)
    add_admin_command(commands, os.environ)
    add_prices_command(commands)
    add_spend_command(commands, os.environ)
    add_run_command(commands, os.environ)
    add_import_command(commands, os.environ)
    add_completions_command(commands, parser)
    return parser
