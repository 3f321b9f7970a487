"""What an API key is, and what every store of keys can do.

A store never sees a secret. It is asked for digests (see `secret.Hasher`), so a copy of the store opens nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, NamedTuple, Protocol, TypeAlias, runtime_checkable

from ..context import Principal

State: TypeAlias = Literal["active", "unused", "waiting", "expired", "suspended", "revoked"]
"""`unused` is active and was not used for `UNUSED`; `waiting` is not valid yet."""

UNUSED: Final = timedelta(days=180)

Changed: TypeAlias = Callable[[str | None], None]
"""Takes the id of a key that changed, or None when any key may have changed."""


def utc_now() -> datetime:
    """The wall clock, which decides about expiry."""
    return datetime.now(UTC)


def earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    """The earlier of two times; None means never."""
    return min((end for end in (one, other) if end is not None), default=None)


@dataclass(frozen=True, slots=True)
class APIKey:
    """Everything about one key but its secret. Times are aware datetimes."""

    id: str  # `key_` and 8 characters; public, may be logged
    name: str = ""
    owner: str | None = None  # a user, a team, a tenant
    kind: str = "live"  # or `test` or `admin`, as in its secret's prefix; `imported` if another gateway created it
    created_at: datetime = field(default_factory=utc_now)
    active: bool = True  # False while it is suspended, and once it is revoked
    not_before: datetime | None = None
    # The first moment at which it is not valid; of a rotated secret, the overlap's end.
    expires_at: datetime | None = None
    scopes: frozenset[str] = frozenset()  # this and the next two are as in `Principal`
    models: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    last_used_at: datetime | None = None  # may be late, because stores write it in batches
    groups: tuple[str, ...] = ()  # of the owner
    suspended: bool = False  # it is not active, but may be again

    def usable(self, now: datetime) -> bool:
        return (
            self.active
            and (self.not_before is None or self.not_before <= now)
            and (self.expires_at is None or now < self.expires_at)
        )

    @property
    def revoked(self) -> bool:
        return not self.active and not self.suspended

    def state(self, now: datetime) -> State:
        if not self.active:
            return "suspended" if self.suspended else "revoked"
        if self.usable(now):
            return "unused" if now - (self.last_used_at or self.created_at) > UNUSED else "active"
        return "waiting" if self.not_before is not None and now < self.not_before else "expired"

    def principal(self) -> Principal:
        return Principal(self.id, self.owner, self.scopes, self.models, self.limits, self.groups)


@runtime_checkable
class KeyStore(Protocol):
    """Finds keys by digest."""

    imported: bool
    """Whether it may hold keys of another gateway. If not, what `well_formed` refuses is refused without a lookup."""

    async def find(self, digests: Sequence[bytes], /) -> APIKey | None:
        """The key of one of these digests, also one that is not usable. Raises KeyStoreUnavailable."""

    def used(self, key: APIKey, /) -> None:
        """Note that the key was used now. Never blocks and never raises; the store may write it later."""

    def watch(self, changed: Changed, /) -> None:
        """Call `changed` when a key changes, here or in another process. A store that cannot know ignores it."""

    async def aclose(self) -> None: ...


FindKey: TypeAlias = Callable[[bytes], Awaitable[APIKey | None]]  # by one digest; accepted wherever a KeyStore is


@dataclass(frozen=True, slots=True)
class StoredSecret:
    """What a store keeps of a secret: a digest, and the version of the pepper in it; 0 for none."""

    digest: bytes = field(repr=False)
    pepper: int = 0


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One change of a key. Entries are never changed or deleted."""

    at: datetime
    by: str
    action: str  # `create`, `import`, `update`, `suspend`, `resume`, `rotate` or `revoke`
    key_id: str
    before: Mapping[str, object] = field(default_factory=dict)  # of the fields that changed, without secrets
    after: Mapping[str, object] = field(default_factory=dict)
    reason: str | None = None  # as the person who did it wrote it


class NewKey(NamedTuple):
    """A key to be kept, with its secret and the first entry of its audit."""

    key: APIKey
    secret: StoredSecret
    entry: AuditEntry


class KeyRegistry(KeyStore, Protocol):
    """A store whose keys can be changed. Each change adds one audit entry. `Issuer` is the usual caller.

    Every method raises KeyStoreUnavailable if the store is away.
    """

    async def add(self, *new: NewKey) -> None:
        """Keep all of them, or none. Raises KeyExists when an id or a digest is taken."""

    async def rotate(
        self, id: str, secret: StoredSecret, entry: AuditEntry, /, *, until: datetime, expires_at: datetime | None
    ) -> None:
        """Give the key another secret and end; its other secrets end by `until`. Raises UnknownKey and KeyExists."""

    async def replace(self, old: APIKey, new: APIKey, entry: AuditEntry, /) -> None:
        """Keep `new` for `old`, which has the same id. Its secrets and its last use stay.

        Raises UnknownKey, and KeyConflict if the key is no longer `old`: it has to be read again.
        """

    async def get(self, id: str, /) -> APIKey:
        """Raises UnknownKey."""

    async def list(
        self, *, owner: str | None = None, after: str | None = None, most: int | None = None
    ) -> Sequence[APIKey]:
        """Keys, oldest first: all, or those of one owner, that come after the key of an id, and so many at most.

        Raises UnknownKey for the id.
        """

    async def audit(self, id: str, /) -> Sequence[AuditEntry]:
        """The changes of the key, oldest first."""


class UnknownKey(LookupError):
    """No key has this id."""

    def __init__(self, id: str) -> None:
        super().__init__(f"No key has the id {id[:64]!r}. See: xrouter keys list")


class KeyExists(ValueError):
    """The id or the secret is in the store already."""


class KeyConflict(Exception):
    """The key was changed at the same time. `Issuer` reads it again."""
