"""API keys: what they are, where they are kept, and how they are checked."""

from typing import TYPE_CHECKING

from .base import (
    APIKey,
    AuditEntry,
    Changed,
    FindKey,
    KeyConflict,
    KeyExists,
    KeyRegistry,
    KeyStore,
    NewKey,
    State,
    StoredSecret,
    UnknownKey,
)
from .cache import CachedKeys
from .changes import KeyChanges
from .issuer import Issued, Issuer
from .memory import CallableKeyStore, MemoryKeyStore, StaticKeys
from .redis_changes import RedisChanges
from .secret import Hasher, new_secret, well_formed
from .spec import KeyFields, KeyFilter, KeySpec

if TYPE_CHECKING:
    from .sql import SQLKeyStore

__all__ = [
    "APIKey",
    "AuditEntry",
    "CachedKeys",
    "CallableKeyStore",
    "Changed",
    "FindKey",
    "Hasher",
    "Issued",
    "Issuer",
    "KeyChanges",
    "KeyConflict",
    "KeyExists",
    "KeyFields",
    "KeyFilter",
    "KeyRegistry",
    "KeySpec",
    "KeyStore",
    "MemoryKeyStore",
    "NewKey",
    "RedisChanges",
    "SQLKeyStore",
    "State",
    "StaticKeys",
    "StoredSecret",
    "UnknownKey",
    "new_secret",
    "well_formed",
]


def __getattr__(name: str) -> object:
    # SQLAlchemy is an extra, and slow to import: only those who ask for it import it.
    if name != "SQLKeyStore":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from .sql import SQLKeyStore
    except ModuleNotFoundError as exc:
        raise ModuleNotFoundError(
            'SQLKeyStore needs SQLAlchemy and Alembic. Install them with: pip install "xrouter-asgi[sql]"'
        ) from exc
    return SQLKeyStore
