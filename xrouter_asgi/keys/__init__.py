"""API keys: what they are, where they are kept, and how they are checked."""

from typing import TYPE_CHECKING

from .base import APIKey, AuditEntry, FindKey, KeyExists, KeyRegistry, KeyStore, StoredSecret, UnknownKey
from .cache import CachedKeys
from .issuer import Issued, Issuer, KeySpec
from .memory import CallableKeyStore, MemoryKeyStore, StaticKeys
from .secret import Hasher, new_secret, well_formed

if TYPE_CHECKING:
    from .sql import SQLKeyStore

__all__ = [
    "APIKey",
    "AuditEntry",
    "CachedKeys",
    "CallableKeyStore",
    "FindKey",
    "Hasher",
    "Issued",
    "Issuer",
    "KeyExists",
    "KeyRegistry",
    "KeySpec",
    "KeyStore",
    "MemoryKeyStore",
    "SQLKeyStore",
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
