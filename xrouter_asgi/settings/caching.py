"""The tables of the cache: where answers are kept, and which models are answered from there."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from pydantic import SecretStr

from ..checks import Count, Seconds
from ..kept import AnswerStore, MemoryAnswers, RedisAnswers
from ..policies.cache import Cache
from ..providers.base import Provider
from .base import Buildable, Table
from .references import Hidden

MakeCache: TypeAlias = Callable[[Provider], Cache]


class CacheSettings(Buildable):
    """`[cache]`: where the answers of models with a `cache` are kept. The default is the memory.

    Attributes:
        store: `memory`, which is that of one process, or the URL of a Redis or Valkey that several processes share. May
            be a reference.
        max_bytes: How much is kept in memory, in bytes. A Redis has a setting of its own for that.
    """

    store: Hidden = SecretStr("memory")
    max_bytes: Count = 64 << 20

    @property
    def shared(self) -> bool:
        """Whether other processes find what this one keeps."""
        return self.store.get_secret_value() != "memory"

    def build(self) -> AnswerStore:
        """Make the store. Opens no connection."""
        return RedisAnswers(self.store.get_secret_value()) if self.shared else MemoryAnswers(max_bytes=self.max_bytes)


class ModelCacheSettings(Table):
    """`cache` of a model: what was asked before in the same words is answered from what was answered then.

    Attributes:
        ttl: Seconds that an answer is kept.
        shared: Whether all callers share their answers. Else what one was answered is never shown to another.
        any_temperature: Whether a chat is looked up whatever its `temperature`. Else it must be 0.
    """

    ttl: Seconds
    shared: bool = False
    any_temperature: bool = False

    def around(self, store: AnswerStore) -> MakeCache:
        """What puts the cache around a provider."""
        return partial(Cache, store=store, **self.model_dump())
