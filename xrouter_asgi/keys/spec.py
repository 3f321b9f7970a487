"""What the creator of a key chooses, and which keys one asks for. Whoever offers that to people uses these checks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import Final

from typing_extensions import TypedDict  # pydantic cannot use Python's own before 3.12

from ..limits.limit import check_currency, parse_limits
from .base import APIKey, State

MAX_TEXT: Final = 200  # characters of a name, an owner, a group, a model or a limit: the width of the columns
MAX_GROUPS: Final = 16  # of one key: each request counts in all of them

SCOPES: Final = ("chat", "embeddings", "models", "explain")
"""The scopes that LLMRouter asks for. Others are for the host's own app."""

ADMIN_SCOPES: Final = ("admin", "admin:read")
"""The scopes that the operator's API asks for: to change things, and to look at them."""


class KeyFields(TypedDict, total=False):
    """The fields of a `KeySpec`, of which one gives those that are to change."""

    name: str
    owner: str | None
    groups: tuple[str, ...]
    not_before: datetime | None
    expires_at: datetime | None
    scopes: frozenset[str]
    models: tuple[str, ...]
    limits: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySpec:
    """The fields of `APIKey` that the creator of a key chooses. Raises ValueError for what no key can have."""

    name: str = ""
    owner: str | None = None
    groups: tuple[str, ...] = ()
    not_before: datetime | None = None
    expires_at: datetime | None = None
    scopes: frozenset[str] = frozenset()
    models: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self._check_texts()
        for scope in self.scopes:
            if not re.fullmatch(r"[a-z][a-z0-9_.:-]{0,63}", scope):
                message = f"Scope {scope[:20]!r} is no lower-case word, such as 'chat', 'embeddings' or your own."
                raise ValueError(message)
        for model in self.models:
            if model.count("*") > 1 or not model:
                raise ValueError(f"Model {model!r} is no name, and no pattern with one '*'.")
        parse_limits(self.limits)
        for moment in (self.not_before, self.expires_at):
            if moment is not None and moment.tzinfo is None:
                raise ValueError(f"{moment.isoformat()} has no time zone.")
        if self.not_before is not None and self.expires_at is not None and self.expires_at <= self.not_before:
            raise ValueError(f"The key would end at {self.expires_at.isoformat()}, before it begins.")

    def _check_texts(self) -> None:
        for text in (self.name, self.owner or "", *self.groups, *self.models, *self.limits):
            if len(text) > MAX_TEXT or not text.isprintable():
                message = f"{text[:20]!r} is longer than {MAX_TEXT} characters, or holds one that does not print."
                raise ValueError(message)
        if self.owner is not None and not self.owner.strip():
            raise ValueError("The owner is empty. Name one, or leave it out.")
        if not all(group.strip() for group in self.groups):
            raise ValueError("A group is empty. Name it, or leave it out.")
        if len(self.groups) > MAX_GROUPS:
            raise ValueError(f"A key has at most {MAX_GROUPS} groups, not {len(self.groups)}.")

    def check_end(self, now: datetime) -> None:
        """Raise ValueError if the key would have ended already."""
        if self.expires_at is not None and self.expires_at <= now:
            end = self.expires_at.isoformat()
            raise ValueError(f"The key would end at {end}, which is past. To end a key, suspend or revoke it.")

    def check_currency(self, currency: str | None) -> None:
        """Raise ValueError for a limit of money in another currency than that of the prices; None for any."""
        if currency is not None:
            check_currency(parse_limits(self.limits), currency)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a key can have, and is probably a mistake. Sentences for people."""
        found = []
        for scope in sorted(self.scopes.difference(SCOPES, ADMIN_SCOPES)):
            near = get_close_matches(scope, SCOPES, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            found.append(f"Scope {scope!r} opens nothing of xrouter, which knows {', '.join(SCOPES)}.{hint}")
        return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFilter:
    """Which keys one asks for: those that have all of this."""

    owner: str | None = None
    group: str | None = None
    name: str = ""  # a part of the name, in any case
    states: frozenset[State] = frozenset()  # none means all

    def matches(self, key: APIKey, now: datetime) -> bool:
        return (
            (self.owner is None or key.owner == self.owner)
            and (self.group is None or self.group in key.groups)
            and self.name.casefold() in key.name.casefold()
            and (not self.states or key.state(now) in self.states)
        )


ALL_KEYS: Final = KeyFilter()


def in_json(values: Mapping[str, object]) -> dict[str, object]:
    """The values of fields in JSON types, for the audit."""
    return {name: _plain(value) for name, value in values.items()}


def _plain(value: object) -> object:
    match value:
        case datetime():
            return value.isoformat()
        case frozenset():
            return sorted(value)
        case tuple():
            return list(value)
    return value
