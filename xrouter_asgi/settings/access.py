"""The tables of access: who may call, and how much."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationInfo

from ..checks import Count
from ..keys import CachedKeys, Hasher
from ..limits import LimitStore, MemoryLimits, RedisLimits
from ..limits.limit import parse_limits
from .base import Buildable, Some, Table
from .references import Hidden, Secret, reveal, sources_of

MEMORY = "memory://"

_SQLITE_FILE = re.compile(r"(sqlite(?:\+aiosqlite)?:///)([^/:?].*)", re.DOTALL)
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#*@\s]+")


def _below_folder(url: SecretStr, info: ValidationInfo) -> SecretStr:
    # The file of an SQLite database is a path like every other path in the settings.
    found = _SQLITE_FILE.fullmatch(url.get_secret_value())
    return SecretStr(f"{found[1]}{sources_of(info).folder / found[2]}") if found else url


class KeysSettings(Buildable):
    """`[keys]`. Without this table the gateway admits everybody.

    Attributes:
        url: `sqlite:///keys.db` or `postgresql://user:password@host/name`. May be a reference. A relative path starts
            at the folder of the settings file.
        pepper: One pepper, or `2:PEPPER,1:OLDER`; see `Hasher.parse`.
        imported: Whether the database may hold keys of another gateway.
    """

    url: Annotated[Hidden, AfterValidator(_below_folder)]
    pepper: Secret | None = None
    imported: bool = False

    @property
    def hasher(self) -> Hasher:
        return Hasher.parse(reveal(self.pepper) or "")

    def build(self) -> CachedKeys:
        """Make the key store. Opens no connection."""
        from ..keys import SQLKeyStore  # here, because it needs an extra

        return CachedKeys(SQLKeyStore(self.url.get_secret_value(), imported=self.imported), hasher=self.hasher)


def _limits(value: Any) -> Any:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f'is {value!r}. Write a limit such as "60/minute", or a list of them.')
    try:
        parse_limits(texts)
    except ValueError as exc:
        raise ValueError(f"cannot be used: {exc}") from exc
    return texts


Limits = Annotated[tuple[str, ...], BeforeValidator(_limits)]


class RateLimitSettings(Buildable):
    """`[rate_limit]`. The limits of a key itself hold even without this table.

    Attributes:
        limit: For every caller, such as `"60/minute; 8 parallel"`, or a list of limits.
        models: More limits, by the name of a model or a pattern.
        storage: `memory://`, or the URL of a Redis or Valkey that several processes share. May be a reference.
        when_unavailable: While Redis is down, admit this process's share (`degrade`), everything (`open`) or nothing
            (`closed`).
        workers: How many processes share the limits. Each admits its share while Redis is down.
        ietf: Also send the `RateLimit` fields of the IETF draft.
    """

    limit: Limits = ()
    models: dict[str, Limits] = Field(default_factory=dict)
    storage: Hidden = SecretStr(MEMORY)
    when_unavailable: Literal["degrade", "open", "closed"] = "degrade"
    workers: Count = 1
    ietf: bool = False

    @property
    def shared(self) -> bool:
        """Whether the counts are shared with other processes."""
        return self.storage.get_secret_value() != MEMORY

    def build(self) -> LimitStore:
        """Make the store of the counts. Opens no connection."""
        if not self.shared:
            return MemoryLimits()
        url = self.storage.get_secret_value()
        return RedisLimits(url, when_unavailable=self.when_unavailable, workers=self.workers)


def _origin(origin: str) -> str:
    if origin != "*" and not _ORIGIN.fullmatch(origin):
        raise ValueError(f'is {origin!r}. Write an origin as browsers do, "https://chat.example", or "*" for all.')
    return origin


class CORSSettings(Table):
    """`[cors]`. Without this table no page of another origin may read the answers.

    Attributes:
        origins: The origins whose pages may: `https://chat.example`, with its port if it has one; `*` for all.
        max_age: Seconds for which a browser may cache the answer to a preflight.
    """

    origins: Some[Annotated[str, AfterValidator(_origin)]]
    max_age: Annotated[int, Field(ge=0)] = 600
