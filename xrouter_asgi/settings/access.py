"""The tables about who may call and how much: keys, limits, CORS."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationInfo

from ..keys import CachedKeys, Hasher
from ..limits import LimitStore, MemoryLimits, RedisLimits
from ..limits.limit import parse_limits
from .base import Buildable, Count, Some, Table
from .references import Hidden, Secret, place_of, reveal

MEMORY = "memory://"

_SQLITE_FILE = re.compile(r"(sqlite(?:\+aiosqlite)?:///)([^/:?].*)", re.DOTALL)
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#*@\s]+")


def _below_folder(url: SecretStr, info: ValidationInfo) -> SecretStr:
    # A file of SQLite is a path like every other in the settings.
    found = _SQLITE_FILE.fullmatch(url.get_secret_value())
    return SecretStr(f"{found[1]}{place_of(info).folder / found[2]}") if found else url


class KeysSettings(Buildable):
    """`[keys]`. Without this table everybody is let in.

    Attributes:
        url: `sqlite:///keys.db` or `postgresql://user:password@host/name`; may be a reference. A relative path starts
            at the folder of the settings file.
        pepper: As `Hasher.parse` reads it: one pepper, or `2:PEPPER,1:OLDER`.
        imported: Whether keys of another gateway may be among them.
    """

    url: Annotated[Hidden, AfterValidator(_below_folder)]
    pepper: Secret | None = None
    imported: bool = False

    @property
    def hasher(self) -> Hasher:
        return Hasher.parse(reveal(self.pepper) or "")

    def build(self) -> CachedKeys:
        """The keys. Opens no connection."""
        from ..keys import SQLKeyStore  # here, because it needs an extra

        return CachedKeys(SQLKeyStore(self.url.get_secret_value(), imported=self.imported), hasher=self.hasher)

    def _try(self) -> None:
        self.build()


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
    """`[rate_limit]`. Keys with limits of their own are held to them also without this table.

    Attributes:
        limit: For everybody, such as `"60/minute; 8 parallel"`, or a list of such.
        models: The same by the name of a model, or by a pattern.
        storage: `memory://`, or a URL of Redis or Valkey, which several processes share; may be a reference.
        when_unavailable: What to do while Redis is away: admit this process's share, everything, or nothing.
        workers: How many processes share the limits, for the share of each.
        ietf: Send the draft's `RateLimit` fields as well.
    """

    limit: Limits = ()
    models: dict[str, Limits] = Field(default_factory=dict)
    storage: Hidden = SecretStr(MEMORY)
    when_unavailable: Literal["degrade", "open", "closed"] = "degrade"
    workers: Count = 1
    ietf: bool = False

    @property
    def shared(self) -> bool:
        """Whether other processes count, too."""
        return self.storage.get_secret_value() != MEMORY

    def build(self) -> LimitStore:
        """What keeps the counts. Opens no connection."""
        if not self.shared:
            return MemoryLimits()
        return RedisLimits(
            self.storage.get_secret_value(), when_unavailable=self.when_unavailable, workers=self.workers
        )

    def _try(self) -> None:
        self.build()


def _origin(origin: str) -> str:
    if origin != "*" and not _ORIGIN.fullmatch(origin):
        raise ValueError(f'is {origin!r}. Write an origin as browsers do, "https://chat.example", or "*" for all.')
    return origin


class CORSSettings(Table):
    """`[cors]`. Without this table browsers let no page of another origin read the answers.

    Attributes:
        origins: Whose pages may: `https://chat.example`, with its port if it has one; `*` for all.
        max_age: Seconds that a browser may remember the answer to a preflight.
    """

    origins: Some[Annotated[str, AfterValidator(_origin)]]
    max_age: Annotated[int, Field(ge=0)] = 600
