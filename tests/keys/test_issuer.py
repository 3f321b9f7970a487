from __future__ import annotations

import traceback
from datetime import datetime, timedelta
from typing import Any

import pytest

from xrouter_asgi.keys import (
    CachedKeys,
    Hasher,
    Issuer,
    KeyExists,
    KeyRegistry,
    KeySpec,
    MemoryKeyStore,
    UnknownKey,
    new_secret,
    well_formed,
)

from .clock import START, Clock

DAY = 86_400.0
GRANT = KeySpec(
    name="laptop",
    owner="ann",
    expires_at=START + timedelta(days=90),
    scopes=frozenset({"chat"}),
    models=("gpt-*",),
    limits=("60/minute",),
)
THEIRS = "sk-proj-0123456789abcdef0123456789abcdef"


@pytest.fixture
def clock() -> Clock:
    return Clock()


def issuer_of(registry: KeyRegistry, clock: Clock, hasher: Hasher | None = None) -> Issuer:
    return Issuer(registry, by="tester@host", hasher=hasher, now=clock.wall)


async def opens(registry: KeyRegistry, clock: Clock, *secrets: str) -> list[bool]:
    keys = CachedKeys(registry, now=clock.wall)
    return [await keys.check(secret) is not None for secret in secrets]


async def test_a_new_key_is_what_was_granted_and_its_secret_opens_it(registry: KeyRegistry, clock: Clock) -> None:
    issued = await issuer_of(registry, clock).create(GRANT, kind="test")
    key = await CachedKeys(registry, now=clock.wall).check(issued.secret)
    assert key == issued.key
    assert (key.name, key.owner, key.kind, key.created_at) == ("laptop", "ann", "test", START)
    assert (key.expires_at, key.scopes, key.models, key.limits) == (
        GRANT.expires_at,
        GRANT.scopes,
        GRANT.models,
        GRANT.limits,
    )
    assert key.id.startswith("key_")
    assert len(key.id) == 12
    assert issued.secret.startswith("xr_test_")


async def test_a_rotated_key_has_two_secrets_for_24_hours(registry: KeyRegistry, clock: Clock) -> None:
    issuer = issuer_of(registry, clock)
    old = await issuer.create(GRANT)
    new = await issuer.rotate(old.key.id)
    assert new.key.id == old.key.id
    assert await opens(registry, clock, old.secret, new.secret) == [True, True]
    clock.tick(DAY - 1)
    assert await opens(registry, clock, old.secret, new.secret) == [True, True]
    clock.tick(1)
    assert await opens(registry, clock, old.secret, new.secret) == [False, True]


async def test_a_rotation_without_overlap_ends_the_old_secret_now(registry: KeyRegistry, clock: Clock) -> None:
    issuer = issuer_of(registry, clock)
    old = await issuer.create(KeySpec())
    new = await issuer.rotate(old.key.id, overlap=0)
    assert await opens(registry, clock, old.secret, new.secret) == [False, True]


async def test_a_rotation_may_prolong_the_key_but_not_the_old_secret(registry: KeyRegistry, clock: Clock) -> None:
    issuer = issuer_of(registry, clock)
    old = await issuer.create(KeySpec(expires_at=START + timedelta(hours=1)))
    new = await issuer.rotate(old.key.id, expires_at=START + timedelta(days=9))
    clock.tick(3600)
    assert await opens(registry, clock, old.secret, new.secret) == [False, True]
    assert new.key.expires_at == START + timedelta(days=9)
    assert [entry.before.get("expires_at") for entry in await registry.audit(new.key.id)] == [
        None,
        "2025-03-01T13:00:00+00:00",
    ]


async def test_a_key_whose_end_is_past_is_rotated_only_with_another_end(registry: KeyRegistry, clock: Clock) -> None:
    issuer = issuer_of(registry, clock)
    old = await issuer.create(KeySpec(expires_at=START + timedelta(hours=1)))
    clock.tick(3600)
    with pytest.raises(ValueError, match=r"ended at 2025-03-01T13:00:00\+00:00\. Give it another end"):
        await issuer.rotate(old.key.id)
    new = await issuer.rotate(old.key.id, expires_at=START + timedelta(days=1))
    assert await opens(registry, clock, old.secret, new.secret) == [False, True]


async def test_a_revoked_key_stays_so(registry: KeyRegistry, clock: Clock) -> None:
    issuer = issuer_of(registry, clock)
    old = await issuer.create(KeySpec())
    new = await issuer.rotate(old.key.id)
    assert not (await issuer.revoke(old.key.id, reason="lost")).active
    assert await opens(registry, clock, old.secret, new.secret) == [False, False]
    with pytest.raises(ValueError, match="is revoked for good"):
        await issuer.rotate(old.key.id)
    # Twice is once.
    assert not (await issuer.revoke(old.key.id, reason="again")).active
    assert [entry.reason for entry in await registry.audit(old.key.id)] == [None, None, "lost"]


async def test_the_audit_says_who_did_what_and_when_and_holds_no_secret(registry: KeyRegistry, clock: Clock) -> None:
    issuer = issuer_of(registry, clock)
    issued = await issuer.create(GRANT)
    clock.tick(60)
    rotated = await issuer.rotate(issued.key.id)
    clock.tick(60)
    await issuer.revoke(issued.key.id, reason="lost")
    created, rotation, revocation = await registry.audit(issued.key.id)
    assert [(entry.at - START).total_seconds() for entry in (created, rotation, revocation)] == [0, 60, 120]
    assert {entry.by for entry in (created, rotation, revocation)} == {"tester@host"}
    assert created.after["models"] == ["gpt-*"]
    assert rotation.after["overlap_until"] == "2025-03-02T12:01:00+00:00"
    assert (revocation.before, revocation.after) == ({"active": True}, {"active": False})
    for secret in (issued.secret, rotated.secret):
        assert secret not in repr([created, rotation, revocation])
        assert Hasher().digest(secret).hex() not in repr([created, rotation, revocation])


async def test_a_key_of_another_gateway_works_where_it_is_allowed(clock: Clock) -> None:
    for imported in (True, False):
        registry = MemoryKeyStore(imported=imported)
        key = await issuer_of(registry, clock).adopt(THEIRS, GRANT)
        assert key.kind == "imported"
        assert await opens(registry, clock, THEIRS) == [imported]


async def test_an_imported_key_is_rotated_to_one_of_ours(registry: KeyRegistry, clock: Clock) -> None:
    issuer = issuer_of(registry, clock)
    key = await issuer.adopt(THEIRS, GRANT)
    assert well_formed((await issuer.rotate(key.id)).secret)


async def test_the_same_key_is_not_imported_twice(registry: KeyRegistry, clock: Clock) -> None:
    issuer = issuer_of(registry, clock)
    await issuer.adopt(THEIRS, GRANT)
    with pytest.raises(KeyExists):
        await issuer.adopt(THEIRS, GRANT)


@pytest.mark.parametrize(
    ("secret", "says"),
    [
        ("sk-hunter2", "less than 128 bits"),
        ("password" * 8, "less than 128 bits"),
        ("a b", "not 1 to 512 printable ASCII"),
        ("", "not 1 to 512 printable ASCII"),
    ],
)
async def test_a_secret_that_can_be_guessed_is_not_imported(clock: Clock, secret: str, says: str) -> None:
    registry = MemoryKeyStore()
    with pytest.raises(ValueError, match=says) as caught:
        await issuer_of(registry, clock).adopt(secret, GRANT)
    assert not secret or secret not in str(caught.value)
    assert await registry.list() == []


async def test_a_key_of_an_older_pepper_goes_on_and_a_new_one_takes_the_new(
    registry: KeyRegistry, clock: Clock
) -> None:
    first, second = Hasher({1: "o" * 32}), Hasher({2: "n" * 32, 1: "o" * 32})
    old = await issuer_of(registry, clock, first).create(KeySpec())
    new = await issuer_of(registry, clock, second).create(KeySpec())
    found = {}
    for name, hasher in (("first", first), ("second", second), ("only new", Hasher({2: "n" * 32})), ("none", Hasher())):
        keys = CachedKeys(registry, hasher=hasher, now=clock.wall)
        found[name] = [await keys.check(issued.secret) is not None for issued in (old, new)]
    assert found == {"first": [True, False], "second": [True, True], "only new": [False, True], "none": [False, False]}


async def test_an_unknown_id_is_said_to_be_so(registry: KeyRegistry, clock: Clock) -> None:
    issuer = issuer_of(registry, clock)
    for change in (issuer.rotate("key_nope"), issuer.revoke("key_nope")):
        with pytest.raises(UnknownKey, match="key_nope"):
            await change


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"scopes": frozenset({"/*"})}, r"Scope '/\*' is no lower-case word"),
        ({"scopes": frozenset({""})}, "Scope '' is no"),
        ({"scopes": frozenset({"Chat"})}, "Scope 'Chat' is no"),
        ({"models": ("a*b*",)}, r"Model 'a\*b\*' is no name"),
        ({"models": ("",)}, "Model '' is no name"),
        ({"name": "x" * 201}, "longer than 200 characters"),
        ({"owner": "a\x1b[31m"}, "does not print"),
        ({"limits": ("1/minute\n",)}, "does not print"),
        ({"expires_at": datetime(2026, 1, 1)}, "has no time zone"),
        ({"not_before": START, "expires_at": START}, "before it begins"),
    ],
)
def test_a_grant_that_means_nothing_is_refused(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        KeySpec(**fields)


async def test_no_object_and_no_traceback_shows_a_secret_or_a_pepper(clock: Clock) -> None:
    pepper = "p" * 32
    hasher = Hasher({1: pepper})
    registry = MemoryKeyStore()
    issuer = issuer_of(registry, clock, hasher)
    issued = await issuer.create(GRANT)
    keys = CachedKeys(registry, hasher=hasher)
    await keys.check(issued.secret)
    shown = [
        repr(each) for each in (issued, issued.key, issuer, registry, keys, hasher, await registry.audit(issued.key.id))
    ]
    try:
        await issuer.adopt(secret := new_secret()[:20], GRANT)
    except ValueError:
        shown.append(traceback.format_exc())
    assert all(hidden not in text for text in shown for hidden in (issued.secret, pepper, secret))
