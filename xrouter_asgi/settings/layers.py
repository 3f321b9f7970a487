"""The tables of the router's store and of what admits requests: keys, limits, admission, CORS."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationInfo

from ..admission import BodyBudget, memory_limit
from ..checks import Count, Seconds, SecondsOrInf
from ..kept import MemoryResponses, RedisResponses, ResponseStore
from ..keys import CachedKeys, Hasher, KeyChanges, KeyRegistry, RedisChanges
from ..limits import LimitStore, MemoryLimits, RedisLimits
from ..limits.estimates import ASSUMED_OUTPUT
from ..limits.limit import parse_limits
from ..limits.rules import LimitRules
from .base import Buildable, Some, Table
from .references import Hidden, Secret, replaced, reveal, sources_of

MEMORY = "memory://"
_UNKNOWN = 2 << 30  # bytes of memory where the system does not tell

_SQLITE_FILE = re.compile(r"(sqlite:///)([^/:?].*)", re.DOTALL)
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#*@\s]+")


def _below_folder(url: SecretStr, info: ValidationInfo) -> SecretStr:
    # The file of an SQLite database is a path like every other path in the settings.
    found = _SQLITE_FILE.fullmatch(url.get_secret_value())
    if found is None:
        return url
    file = sources_of(info).folder / found[2]
    folder = Path(str(file).partition("?")[0]).parent
    if not folder.is_dir():
        raise ValueError(
            f"names a database in {str(folder.absolute())!r}, which is no folder. Make it: mkdir -p {folder}"
        )
    return replaced(url, f"{found[1]}{file}")


DatabaseURL = Annotated[Hidden, AfterValidator(_below_folder)]


class KeysSettings(Buildable):
    """`[keys]`: who is let in. Without this table the gateway admits everybody.

    Attributes:
        url: `sqlite:///keys.db` or `postgresql://user:password@host/name`. May be a reference. A relative path starts
            at the folder of the settings file.
        pepper: The secret of the digests of keys: 32 characters or more, or `2:NEW,1:OLD` while it changes.
        imported: Whether the database may hold keys of another gateway.
    """

    url: DatabaseURL
    pepper: Secret | None = None
    imported: bool = False

    @property
    def hasher(self) -> Hasher:
        return Hasher.parse(reveal(self.pepper) or "")

    def store(self, *, changes: KeyChanges | None = None) -> KeyRegistry:
        """Make the key store, which is told of changes by `changes`, too. Opens no connection."""
        from ..keys import SQLKeyStore  # here, because it needs an extra

        return SQLKeyStore(self.url.get_secret_value(), imported=self.imported, changes=changes)

    def build(self, store: KeyRegistry | None = None) -> CachedKeys:
        """Make what checks keys against this store, or one of its own. Opens no connection."""
        return CachedKeys(self.store() if store is None else store, hasher=self.hasher)


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
    """`[rate_limit]`: how much callers may ask. The limits of a key itself hold even without this table.

    Attributes:
        limit: For every caller, such as `"60/minute; 8 parallel"`, or a list of limits.
        models: More limits, by the name of a model or a pattern with one `*`.
        assumed_output: Tokens that an answer is expected to have at least if the client sets no bound; never more
            than the limit is reserved.
        storage: `memory://`, or the URL of a Redis or Valkey that several processes share. May be a reference.
        when_unavailable: While Redis is down, admit this process's share (`degrade`), everything (`open`) or nothing
            (`closed`).
        allow_per_process: Whether each of several `server.workers` may count for itself, without Redis.
        workers: How many processes share the limits, if more than `server.workers`. Each admits its share while Redis
            is down.
        ietf: Also send the `RateLimit` fields of the IETF draft.
    """

    limit: Limits = ()
    models: dict[str, Limits] = Field(default_factory=dict)
    assumed_output: Annotated[int, Field(ge=0)] = ASSUMED_OUTPUT
    storage: Hidden = SecretStr(MEMORY)
    when_unavailable: Literal["degrade", "open", "closed"] = "degrade"
    allow_per_process: bool = False
    workers: Count = 1
    ietf: bool = False

    @property
    def shared(self) -> bool:
        """Whether the counts are shared with other processes."""
        return self.storage.get_secret_value() != MEMORY

    def _try(self) -> None:
        LimitRules(self.limit, self.models)
        self.build()

    def build(self, *, workers: int = 1) -> LimitStore:
        """Make the store of the counts, for at least so many processes. Opens no connection."""
        if not self.shared:
            return MemoryLimits()
        url = self.storage.get_secret_value()
        return RedisLimits(url, when_unavailable=self.when_unavailable, workers=max(workers, self.workers))

    def key_changes(self) -> RedisChanges | None:
        """How the processes that share the limits tell each other of changed keys; None if there is no Redis."""
        return RedisChanges(self.storage.get_secret_value()) if self.shared else None


class ResponsesSettings(Buildable):
    """`[responses]`: where responses are kept for clients that refer to them. The default is the memory.

    Attributes:
        store: `memory`, which is that of one process; `off`; or the URL of a Redis or Valkey that several processes
            share. May be a reference, since it may hold a password.
        ttl: Seconds that a response is kept after its last use.
        max_bytes: How much is kept in memory, in bytes. A Redis has a setting of its own for that.
    """

    store: Hidden = SecretStr("memory")
    ttl: Seconds = 3600.0
    max_bytes: Count = 64 << 20

    @property
    def shared(self) -> bool:
        """Whether other processes find what this one keeps."""
        return self.store.get_secret_value() not in ("memory", "off")

    @property
    def per_process(self) -> bool:
        """Whether each process keeps its own, which no other one finds."""
        return self.store.get_secret_value() == "memory"

    def build(self) -> ResponseStore | None:
        """Make the store; None for `off`. Opens no connection."""
        match self.store.get_secret_value():
            case "off":
                return None
            case "memory":
                return MemoryResponses(ttl=self.ttl, max_bytes=self.max_bytes)
            case url:
                return RedisResponses(url, ttl=self.ttl)


class AdmissionSettings(Table):
    """`[admission]`: what there is room for. Where there is none, the answer is a 503 with `retry-after`.

    Attributes:
        lag: Seconds by which the event loop may be late; `inf` sheds nothing.
        memory: Bytes that the process may use; by default the limit of its control group, if it has one.
        bodies: Bytes of the bodies of all running requests; by default an eighth of the memory.
        bodies_per_key: The same for one key; by default half of `bodies`.
        connections: Of clients, for `xrouter serve`; by default as many as descriptors allow.
        connections_per_address: The same for one address that is no trusted proxy.
    """

    lag: SecondsOrInf = 0.25
    memory: Count | None = None
    bodies: Count | None = None
    bodies_per_key: Count | None = None
    connections: Count | None = None
    connections_per_address: Count | None = None

    def body_budget(self, largest: int) -> BodyBudget:
        """Make the budget of bodies. Where the settings name none, it holds one body of the largest size at least."""
        bodies = self.bodies or max(largest, (self.memory or memory_limit() or _UNKNOWN) // 8)
        return BodyBudget(bodies, most_of_key=self.bodies_per_key or max(largest, bodies // 2))


def _origin(origin: str) -> str:
    if origin != "*" and not _ORIGIN.fullmatch(origin):
        raise ValueError(f'is {origin!r}. Write an origin as browsers do, "https://chat.example", or "*" for all.')
    return origin


class CORSSettings(Table):
    """`[cors]`: which pages may ask. Without this table no page of another origin may read the answers.

    Attributes:
        origins: The origins whose pages may: `https://chat.example`, with its port if it has one; `*` for all.
        max_age: Seconds for which a browser may cache the answer to a preflight.
    """

    origins: Some[Annotated[str, AfterValidator(_origin)]]
    max_age: Annotated[int, Field(ge=0)] = 600
