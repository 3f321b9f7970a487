"""`xrouter check`: every mistake in the settings, or what they serve."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Mapping

from ..inspection.overview import describe_layers, describe_models
from ..inspection.survey import describe_statuses, survey
from ..settings import Settings
from ..standalone import build_providers

_TEXT = "Print every mistake in the settings, or else what they serve."
_EXAMPLES = """\
examples:
  xrouter check --config xrouter.toml
  xrouter check --live           asks every provider for its models"""


def add_check_command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], environment: Mapping[str, str]
) -> None:
    """Add `check` to the commands of `xrouter`. The environment may say NO_COLOR."""
    command = commands.add_parser(
        "check",
        help=_TEXT,
        description=_TEXT,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=lambda options: _check(options, environment))
    command.add_argument("--config", metavar="FILE", help="settings in TOML; default: as for xrouter serve")
    command.add_argument("--live", action="store_true", help="also ask every provider for its models")


def _check(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    settings = Settings.load(options.config)
    providers = build_providers(settings)  # logs a warning about certificates that are not checked
    print(f"{describe_models(settings)}\n\n{describe_layers(settings)}")
    if not options.live:
        return 0
    statuses = asyncio.run(survey(providers))
    colours = sys.stdout.isatty() and not environment.get("NO_COLOR")  # https://no-color.org
    print(f"\n{describe_statuses(statuses, colours=colours)}")
    return 1 if any(status.failure is not None for status in statuses) else 0
