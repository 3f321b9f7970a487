"""What every store of keys promises: import all of it into a test module, and give the fixture `fill`.

    from xrouter_asgi.testing.key_stores import *

    @pytest.fixture
    async def fill() -> AsyncIterator[Fill]: ...

It is a function that makes a store of the given keys: `await fill({secret: key})`. The store holds the digest that
`HASHER` makes of each secret.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from ..keys import APIKey, Hasher, KeyStore, new_secret

START = datetime(2025, 3, 1, 12, tzinfo=UTC)
Fill: TypeAlias = Callable[[Mapping[str, APIKey]], Awaitable[KeyStore]]
HASHER = Hasher({2: "n" * 32, 1: "o" * 32, 0: ""})
FULL = APIKey(
    "key_full",
    name="Ann's лэптоп",
    owner="ann",
    kind="test",
    created_at=START,
    not_before=START - timedelta(days=1),
    expires_at=START + timedelta(days=1, microseconds=1),
    scopes=frozenset({"chat", "models"}),
    models=("GigaChat-2", "gpt-*"),
    limits=("60/minute", "1000 tokens/day"),
    groups=("research", "поиск"),
)
PLAIN = APIKey("key_plain", created_at=START)


async def test_a_key_is_found_as_it_was_kept(fill: Fill) -> None:
    full, plain = new_secret(), new_secret()
    store = await fill({full: FULL, plain: PLAIN})
    assert await store.find(HASHER.digests(full)) == FULL
    assert await store.find(HASHER.digests(plain)) == PLAIN


async def test_an_unknown_digest_finds_nothing(fill: Fill) -> None:
    store = await fill({new_secret(): PLAIN})
    assert await store.find(HASHER.digests(new_secret())) is None
    assert await store.find([b"", b"%", b"' OR 1=1 --", b"\x00" * 32, b"\xff" * 4096]) is None
    assert await store.find([]) is None


async def test_a_key_is_found_by_any_of_the_digests(fill: Fill) -> None:
    secret = new_secret()
    store = await fill({secret: PLAIN})
    digests = HASHER.digests(secret)
    assert await store.find([b"x" * 32, *digests]) == PLAIN
    # Never by a part of one.
    parts = [part for digest in digests for part in (digest[:31], digest[:20], digest + b"\x00")]
    assert await store.find(parts) is None


async def test_a_key_that_is_not_usable_is_found_all_the_same(fill: Fill) -> None:
    revoked, suspended, expired = (new_secret() for _ in range(3))
    keys = {
        revoked: replace(PLAIN, active=False),
        suspended: replace(PLAIN, id="key_held", active=False, suspended=True),
        expired: replace(FULL, expires_at=START - timedelta(days=999)),
    }
    store = await fill(keys)
    assert [await store.find(HASHER.digests(secret)) for secret in keys] == list(keys.values())


async def test_noting_a_use_returns_nothing_and_loses_nothing(fill: Fill) -> None:
    secret = new_secret()
    store = await fill({secret: PLAIN})
    store.used(PLAIN)
    found = await store.find(HASHER.digests(secret))
    assert found is not None
    assert replace(found, last_used_at=None) == PLAIN


async def test_every_store_is_a_key_store(fill: Fill) -> None:
    assert isinstance(await fill({}), KeyStore)
