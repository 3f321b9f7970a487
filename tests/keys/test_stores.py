"""What every store promises, whatever it keeps its keys in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import TypeAlias

import pytest

from xrouter_asgi.keys import (
    APIKey,
    AuditEntry,
    CallableKeyStore,
    Hasher,
    KeyConflict,
    KeyExists,
    KeyRegistry,
    KeyStore,
    MemoryKeyStore,
    NewKey,
    SQLKeyStore,
    StaticKeys,
    StoredSecret,
    UnknownKey,
    new_secret,
)

from .clock import START

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
NOBODY = APIKey("key_nope", created_at=START)


def entry(action: str, id: str) -> AuditEntry:
    return AuditEntry(START, "tester", action, id, before={"active": True}, after={"models": ["a"]}, reason="because")


async def add(registry: KeyRegistry, key: APIKey, digest: bytes) -> None:
    await registry.add(NewKey(key, StoredSecret(digest, 1), entry("create", key.id)))


@pytest.fixture(params=["memory", "sqlite", "postgres", "static", "callable"])
async def fill(request: pytest.FixtureRequest) -> AsyncIterator[Fill]:
    """Makes a store that holds these keys by their secrets."""
    made: list[KeyStore] = []

    async def with_keys(keys: Mapping[str, APIKey]) -> KeyStore:
        store: KeyStore
        match request.param:
            case "static":
                store = StaticKeys(keys)
            case "callable":
                table = {HASHER.digest(secret): key for secret, key in keys.items()}

                async def find(digest: bytes) -> APIKey | None:
                    return table.get(digest)

                store = CallableKeyStore(find)
            case kind:
                store = registry = (
                    MemoryKeyStore() if kind == "memory" else SQLKeyStore(request.getfixturevalue(f"{kind}_url"))
                )
                if isinstance(registry, SQLKeyStore):
                    await registry.migrate()
                for secret, key in keys.items():
                    await add(registry, key, HASHER.digest(secret))
        made.append(store)
        return store

    yield with_keys
    for store in made:
        await store.aclose()


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


async def test_the_first_digest_decides_between_two_keys(registry: KeyRegistry) -> None:
    await add(registry, PLAIN, b"1" * 32)
    await add(registry, FULL, b"2" * 32)
    assert await registry.find([b"2" * 32, b"1" * 32]) == FULL
    assert await registry.find([b"1" * 32, b"2" * 32]) == PLAIN


async def test_an_id_or_a_digest_cannot_be_taken_twice(registry: KeyRegistry) -> None:
    await add(registry, PLAIN, b"1" * 32)
    for key, digest in ((FULL, b"1" * 32), (PLAIN, b"2" * 32)):
        with pytest.raises(KeyExists, match="already") as caught:
            await add(registry, key, digest)
        assert caught.value.__cause__ is None
    with pytest.raises(KeyExists, match="already"):
        await registry.rotate(
            "key_plain", StoredSecret(b"1" * 32), entry("rotate", "key_plain"), until=START, expires_at=None
        )
    # And nothing is left of the attempt.
    assert await registry.list() == [PLAIN]
    assert await registry.find([b"2" * 32]) is None
    assert [each.action for each in await registry.audit("key_plain")] == ["create"]
    assert await registry.find([b"1" * 32]) == PLAIN


async def test_after_a_rotation_the_old_secrets_end_at_the_overlap_and_the_new_one_with_the_key(
    registry: KeyRegistry,
) -> None:
    soon, later, end = (START + timedelta(hours=hours) for hours in (1, 2, 9))
    await add(registry, PLAIN, b"1" * 32)
    for digest, until in ((b"2" * 32, soon), (b"3" * 32, later)):
        await registry.rotate(
            "key_plain", StoredSecret(digest), entry("rotate", "key_plain"), until=until, expires_at=end
        )
    ends = [await registry.find([digest * 32]) for digest in (b"1", b"2", b"3")]
    # The first rotation ended the first secret, and the second does not prolong it.
    assert [key and key.expires_at for key in ends] == [soon, later, end]
    assert {key.id for key in ends if key} == {"key_plain"}
    assert (await registry.get("key_plain")).expires_at == end


async def test_a_secret_never_outlives_its_key(registry: KeyRegistry) -> None:
    end, until = START + timedelta(hours=1), START + timedelta(hours=5)
    await add(registry, PLAIN, b"1" * 32)
    await registry.rotate(
        "key_plain", StoredSecret(b"2" * 32), entry("rotate", "key_plain"), until=until, expires_at=end
    )
    found = await registry.find([b"1" * 32])
    assert found is not None
    assert found.expires_at == end


async def test_revocation_ends_every_secret_of_the_key_and_of_no_other(registry: KeyRegistry) -> None:
    await add(registry, PLAIN, b"1" * 32)
    await add(registry, FULL, b"f" * 32)
    await registry.rotate(
        "key_plain", StoredSecret(b"2" * 32), entry("rotate", "key_plain"), until=START, expires_at=None
    )
    await registry.replace(await registry.get("key_plain"), replace(PLAIN, active=False), entry("revoke", "key_plain"))
    found = [await registry.find([digest * 32]) for digest in (b"1", b"2", b"f")]
    assert [key and key.active for key in found] == [False, False, True]


async def test_an_unknown_id_changes_nothing(registry: KeyRegistry) -> None:
    await add(registry, PLAIN, b"1" * 32)
    for change in (
        registry.get("key_nope"),
        registry.replace(NOBODY, replace(NOBODY, active=False), entry("revoke", "key_nope")),
        registry.list(after="key_nope"),
        registry.rotate("key_nope", StoredSecret(b"2" * 32), entry("rotate", "x"), until=START, expires_at=None),
    ):
        with pytest.raises(UnknownKey, match="No key has the id 'key_nope'"):
            await change
    assert await registry.find([b"2" * 32]) is None
    assert await registry.audit("key_nope") == []


async def test_keys_are_listed_oldest_first_and_by_owner(registry: KeyRegistry) -> None:
    younger = replace(PLAIN, id="key_a", created_at=START + timedelta(seconds=1), owner="bob")
    for number, key in enumerate((PLAIN, FULL, younger)):
        await add(registry, key, bytes([number]) * 32)
    assert [key.id for key in await registry.list()][-1] == "key_a"
    assert len(await registry.list()) == 3
    assert await registry.list(owner="ann") == [FULL]
    assert await registry.list(owner="' OR ''='") == []


async def test_the_audit_tells_every_change_in_order(registry: KeyRegistry) -> None:
    await add(registry, PLAIN, b"1" * 32)
    await registry.rotate(
        "key_plain", StoredSecret(b"2" * 32), entry("rotate", "key_plain"), until=START, expires_at=None
    )
    await registry.replace(await registry.get("key_plain"), replace(PLAIN, active=False), entry("revoke", "key_plain"))
    assert await registry.audit("key_plain") == [
        entry(action, "key_plain") for action in ("create", "rotate", "revoke")
    ]


async def test_the_use_of_a_key_is_kept(registry: KeyRegistry) -> None:
    await add(registry, PLAIN, b"1" * 32)
    registry.used(PLAIN)
    await registry.aclose()
    used = (await registry.get("key_plain")).last_used_at
    assert used is not None
    assert used.utcoffset() == timedelta(0)


async def test_many_changes_at_once_are_all_made(registry: KeyRegistry) -> None:
    keys = [replace(PLAIN, id=f"key_{number}") for number in range(20)]
    await asyncio.gather(*(add(registry, key, key.id.encode()) for key in keys))
    await asyncio.gather(
        *(registry.replace(key, replace(key, active=False), entry("revoke", key.id)) for key in keys[::2])
    )
    assert {key.id for key in await registry.list() if key.active} == {key.id for key in keys[1::2]}


def test_static_keys_refuse_a_secret_that_no_header_can_hold_without_showing_it() -> None:
    with pytest.raises(ValueError, match="The secret of 'key_plain' is not 1 to 512") as caught:
        StaticKeys({"mein Schlüssel": PLAIN})
    assert "Schl" not in str(caught.value)


def test_static_keys_take_secrets_of_any_making_and_say_so() -> None:
    assert StaticKeys({"sk-theirs": PLAIN}).imported
    assert not StaticKeys({new_secret(): PLAIN}).imported
    assert repr(StaticKeys({"sk-theirs": PLAIN})) == "StaticKeys(1 keys)"


async def test_of_several_keys_all_are_added_or_none(registry: KeyRegistry) -> None:
    await registry.add()
    new = [
        NewKey(replace(PLAIN, id=f"key_{number}"), StoredSecret(bytes([number])), entry("create", f"key_{number}"))
        for number in range(3)
    ]
    await registry.add(new[2])
    with pytest.raises(KeyExists, match="already"):
        await registry.add(*new)
    with pytest.raises(KeyExists, match="already"):
        await registry.add(new[0], new[0])
    assert [key.id for key in await registry.list()] == ["key_2"]
    assert await registry.audit("key_0") == []
    await registry.add(*new[:2])
    assert [await registry.find([bytes([number])]) for number in range(3)] == [each.key for each in new]
    assert [len(await registry.audit(each.key.id)) for each in new] == [1, 1, 1]


async def test_a_key_is_replaced_as_a_whole_and_keeps_its_secrets(registry: KeyRegistry) -> None:
    await add(registry, PLAIN, b"1" * 32)
    new = replace(FULL, id=PLAIN.id, suspended=True, active=False)
    await registry.replace(PLAIN, new, entry("update", PLAIN.id))
    assert await registry.find([b"1" * 32]) == new
    assert await registry.get(PLAIN.id) == new


async def test_a_key_that_somebody_else_changed_is_not_replaced(registry: KeyRegistry) -> None:
    await add(registry, PLAIN, b"1" * 32)
    theirs, mine = replace(PLAIN, active=False), replace(PLAIN, name="mine")
    await registry.replace(PLAIN, theirs, entry("revoke", PLAIN.id))
    with pytest.raises(KeyConflict):
        await registry.replace(PLAIN, mine, entry("update", PLAIN.id))
    assert await registry.get(PLAIN.id) == theirs
    assert [each.action for each in await registry.audit(PLAIN.id)] == ["create", "revoke"]


async def test_a_use_in_between_is_no_change_and_is_not_undone(registry: KeyRegistry) -> None:
    await add(registry, PLAIN, b"1" * 32)
    registry.used(PLAIN)
    await registry.aclose()
    await registry.replace(PLAIN, replace(PLAIN, name="n"), entry("update", PLAIN.id))
    kept = await registry.get(PLAIN.id)
    assert kept.name == "n"
    assert kept.last_used_at is not None


async def test_keys_are_listed_in_pages(registry: KeyRegistry) -> None:
    keys = [replace(PLAIN, id=f"key_{number}", owner="ab"[number % 2]) for number in range(7)]
    await registry.add(
        *(NewKey(key, StoredSecret(key.id.encode()), entry("create", key.id)) for key in keys),
    )
    pages = [await registry.list(most=3)]
    while pages[-1]:
        pages.append(await registry.list(after=pages[-1][-1].id, most=3))
    assert [len(page) for page in pages] == [3, 3, 1, 0]
    assert [key for page in pages for key in page] == keys
    assert await registry.list(owner="b", after="key_1", most=1) == [keys[3]]


async def test_a_watcher_is_told_of_changes_and_not_of_new_keys(registry: KeyRegistry) -> None:
    told: list[str | None] = []
    registry.watch(told.append)
    await add(registry, PLAIN, b"1" * 32)
    assert told == []
    await registry.replace(PLAIN, replace(PLAIN, name="n"), entry("update", PLAIN.id))
    await registry.rotate(PLAIN.id, StoredSecret(b"2" * 32), entry("rotate", PLAIN.id), until=START, expires_at=None)
    assert told == [PLAIN.id] * 2
