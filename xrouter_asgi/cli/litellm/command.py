"""`xrouter import litellm`: print the settings that a configuration of LiteLLM's proxy stands for."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ...settings import SettingsError
from ...settings.environment import KEYS_PEPPER
from ..base import Commands, add_command, fail, say
from ..starter import DOCS
from .conversion import Conversion, convert
from .toml import toml_text

_EXAMPLES = """\
examples:
  xrouter import litellm config.yaml > xrouter.toml
  xrouter import litellm config.yaml --env-file .env > xrouter.toml

What it could not take over stands on standard error, and in front of the settings as comments."""
_VALUES = {KEYS_PEPPER: "$(openssl rand -hex 32)  # and keep it: without it no key works"}
_NO_EXTRA = 'xrouter import needs PyYAML. Install it with: pip install "xrouter-asgi[import]"'


def add_import_command(commands: Commands, environment: Mapping[str, str]) -> None:
    """Add `import` to the commands of `xrouter`."""
    text = "Print the settings that a configuration of another gateway stands for."
    importing = commands.add_parser("import", help=text, description=text)
    actions = importing.add_commands("GATEWAY")
    text = "Print the settings that a config.yaml of LiteLLM's proxy stands for."
    command = add_command(actions, "litellm", partial(_import, environment), text, epilog=_EXAMPLES)
    command.add_argument("file", metavar="FILE", help="its config.yaml")
    command.add_argument("--env-file", metavar="FILE", help="also take variables of the environment from there: .env")


def _import(environment: Mapping[str, str], options: argparse.Namespace) -> int:
    try:
        import yaml
    except ImportError:
        return fail(_NO_EXTRA)
    file = Path(options.file)
    try:
        document = yaml.safe_load(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not a text in UTF-8"
        raise SettingsError([f"{file} cannot be read: {reason}."]) from exc
    except yaml.YAMLError as exc:
        raise SettingsError([f"{file} is not YAML: {_mistake(exc)}."]) from None  # its text shows what stands there
    found = convert(document, environment)
    for line in found.untaken:
        say(line)
    if not found.tables["models"]:
        return fail(f"{file} has no deployment in 'model_list' that could be served here.")
    print(_text(file.name, found), end="")
    providers, models = (len(found.tables[name]) for name in ("providers", "models"))
    say(f"\n{models} models at {providers} providers. Next:\n\n  {_next_steps(found, environment)}")
    return 0


def _mistake(error: Any) -> str:
    """Where a mistake of YAML is, without the line, which may hold a secret."""
    mark = getattr(error, "problem_mark", None)
    return f"{getattr(error, 'problem', 'it cannot be read')}{f', in line {mark.line + 1}' if mark else ''}"


def _text(name: str, found: Conversion) -> str:
    """The settings, behind what they lack."""
    lines = [f"Written by `xrouter import litellm` from {name}. What each setting means: {DOCS}/operations.md"]
    lines += (
        ["", "Not taken over, or yours to complete:", *(f"  {line}" for line in found.untaken)] if found.untaken else []
    )
    head = "\n".join(f"# {each}".rstrip() for line in lines for each in line.splitlines() or [""])
    return f"{head}\n\n{toml_text(found.tables)}"


def _next_steps(found: Conversion, environment: Mapping[str, str]) -> str:
    """What to type next."""
    keys = found.tables.get("keys")
    steps = [f"export {name}={_VALUES.get(name, '…')}" for name in found.variables if not environment.get(name)]
    if keys is not None:
        database = "sql" if keys["url"].startswith("sqlite") else "postgres"
        steps += [
            f'pip install "xrouter-asgi[server,{database}]"',
            "xrouter keys migrate",
            "xrouter keys create --owner NAME",
        ]
    return "\n  ".join([*steps, "xrouter check --live", "xrouter serve"])
