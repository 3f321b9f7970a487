"""The command line: `xrouter serve | demo | check | explain | keys | prices | spend | run`."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Sequence
from importlib.metadata import version

from ..settings import SettingsError
from .base import fail
from .inspection import add_check_command, add_explain_command
from .keys.command import add_keys_command
from .prices import add_prices_command
from .run import add_run_command
from .serve import add_serve_commands
from .spend import add_spend_command


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code: 0, or 1 for something that the user can fix; argparse's 2 is usage."""
    options = _parser().parse_args(arguments)
    lines = logging.StreamHandler()
    lines.setFormatter(LineFormatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(handlers=[lines], level=logging.WARNING)
    try:
        code: int = options.run(options)
    except SettingsError as error:
        return fail("\n".join(error.problems))
    return code


class LineFormatter(logging.Formatter):
    """Ends a line about a request with its id, as its client knows it, and with the attempt."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 -- the name that logging calls
        line = super().formatMessage(record)
        match vars(record):
            case {"request_id": str(request_id), "provider": str(provider), "attempt": attempt}:
                return f"{line} ({request_id}, attempt {attempt} at {provider})"
            case {"request_id": str(request_id)}:
                return f"{line} ({request_id})"
        return line


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="xrouter",
        description="An LLM gateway: one OpenAI-compatible address for GigaChat and every upstream that speaks OpenAI.",
        epilog="examples:\n  xrouter demo\n  xrouter serve --config xrouter.toml\n  xrouter check --live",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"xrouter {version('xrouter-asgi')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_serve_commands(commands)
    add_check_command(commands, os.environ)
    add_explain_command(commands)
    add_keys_command(commands, os.environ)
    add_prices_command(commands)
    add_spend_command(commands, os.environ)
    add_run_command(commands, os.environ)
    return parser
