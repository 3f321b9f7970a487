"""Mistakes in settings as sentences: where it stands, what is wrong, what to write instead."""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias, get_args

from pydantic import BaseModel, ValidationError

from .access import CORSSettings, KeysSettings, RateLimitSettings
from .alerts import AlertsSettings, SlackSettings, TelegramSettings, WebhookSettings
from .base import ServerSettings
from .models import (
    CapabilitiesSettings,
    HoldSettings,
    ModelSettings,
    PatienceSettings,
    PriceSettings,
    RetrySettings,
    TargetSettings,
)
from .providers import ProviderSettings, TimeoutSettings
from .telemetry import AccessLogSettings, MetricsSettings, TracingSettings

Location: TypeAlias = tuple[str | int, ...]

PROVIDERS: Mapping[str, type[BaseModel]] = {
    get_args(table.model_fields["kind"].annotation)[0]: table for table in get_args(ProviderSettings)
}
TABLES: Mapping[str, type[BaseModel]] = {
    "server": ServerSettings,
    "keys": KeysSettings,
    "rate_limit": RateLimitSettings,
    "cors": CORSSettings,
    "tracing": TracingSettings,
    "access_log": AccessLogSettings,
    "metrics": MetricsSettings,
    "alerts": AlertsSettings,
}
_CHANNELS: Mapping[str, type[BaseModel]] = {
    "webhook": WebhookSettings,
    "slack": SlackSettings,
    "telegram": TelegramSettings,
}
_OF_MODELS: Mapping[str, type[BaseModel]] = {
    "timeouts": PatienceSettings,
    "retry": RetrySettings,
    "hold": HoldSettings,
    "price": PriceSettings,
    "capabilities": CapabilitiesSettings,
}
_BARE = re.compile(r"[A-Za-z0-9_-]+")


class SettingsError(ValueError):
    """Settings that cannot be used.

    Attributes:
        problems: Every mistake found, one sentence or more each, without secrets.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def show(path: Location) -> str:
    """A path as TOML writes it: `models."local-*".targets[1]`."""
    if not path:
        return "the file"
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            quoted = step if _BARE.fullmatch(step) else f'"{step}"'
            text += f".{quoted}" if text else quoted
    return text


def sentences(error: ValidationError, *, below: Location = ()) -> list[tuple[Location, str]]:
    """What pydantic found, each with its path in the file and a sentence that continues the path.

    Args:
        below: Where in the file that stands which was validated.
    """
    return [_sentence(found, below) for found in error.errors(include_url=False)]


def _sentence(found: Mapping[str, Any], below: Location) -> tuple[Location, str]:
    loc: Location = (*below, *found["loc"])
    kind, context = found["type"], found.get("ctx", {})
    given = reprlib.repr(found["input"])
    # Below a provider pydantic names the `kind` as a step of its own, which is not in the file.
    path = (*loc[:2], *loc[3:]) if loc[:1] == ("providers",) and len(loc) > 2 else loc
    match kind:
        case "value_error":
            return path, str(context["error"])
        case "extra_forbidden":
            key = str(path[-1])
            return path[:-1], f"has no key '{key}'. {known_instead(key, _known(loc[:-1]))}"
        case "missing":
            return path, "is missing. Write it."
        case "union_tag_not_found":
            return path, f"has no 'kind'. Write kind = one of {_listed(PROVIDERS)}."
        case "union_tag_invalid":
            return path, f"has the kind {context['tag']!r}. Write one of {_listed(PROVIDERS)}."
        case "literal_error":
            return path, f"is {given}. Write {_in_toml(context['expected'])}."
        case "tuple_type":
            return path, f"is {given}. Write a list."
        case "model_type" | "dict_type" | "model_attributes_type":
            return path, f"is {given}. Write a table, [{show(path)}]."
    return path, f"is {given}. {found['msg'].replace('Input should', 'It should')}."


def _known(loc: Location) -> Iterable[str]:
    """The keys that the table at this place may have."""
    match loc:
        case ():
            return ("providers", "models", *TABLES)
        case ("providers", _, str(kind)):
            return PROVIDERS[kind].model_fields
        case ("providers", _, _, "timeouts"):
            return TimeoutSettings.model_fields
        case ("models", _):
            return ModelSettings.model_fields
        case ("models", *_, str(part)):
            return _OF_MODELS[part].model_fields
        case ("alerts", str(channel)):
            return _CHANNELS[channel].model_fields
        case (str(name),):
            return TABLES[name].model_fields
        case _:
            return TargetSettings.model_fields


def known_instead(name: str, known: Iterable[str]) -> str:
    """What to write instead of a name that is not known."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"Did you mean '{close[0]}'? " if close else ""
    return f"{hint}Known: {', '.join(known)}."


def _in_toml(literals: str) -> str:
    return literals.replace("True", "true").replace("False", "false")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
