"""API keys: what they are, where they are kept, and how they are checked."""

from .base import APIKey, AuditEntry, FindKey, KeyExists, KeyRegistry, KeyStore, StoredSecret, UnknownKey
from .cache import CachedKeys
from .memory import CallableKeyStore, MemoryKeyStore, StaticKeys
from .secret import Hasher, Kind, new_secret, well_formed

__all__ = [
    "APIKey",
    "AuditEntry",
    "CachedKeys",
    "CallableKeyStore",
    "FindKey",
    "Hasher",
    "KeyExists",
    "KeyRegistry",
    "KeyStore",
    "Kind",
    "MemoryKeyStore",
    "StaticKeys",
    "StoredSecret",
    "UnknownKey",
    "new_secret",
    "well_formed",
]
