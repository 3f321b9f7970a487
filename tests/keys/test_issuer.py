from __future__ import annotations

import asyncio
import re
import traceback
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from xrouter_asgi.keys import (
    APIKey,
    AuditEntry,
    CachedKeys,
    Hasher,
    Issuer,
    KeyExists,
    KeyFilter,
    KeyRegistry,
    KeySpec,
    MemoryKeyStore,
    NewKey,
    StoredSecret,
    UnknownKey,
    new_secret,
    well_formed,
)
from xrouter_asgi.keys import issuer as issuer_module
from xrouter_asgi.keys.spec import SCOPES

from ..package import FILES, PACKAGE
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
    for change in (
        issuer.rotate("key_nope"),
        issuer.revoke("key_nope"),
        issuer.suspend("key_nope"),
        issuer.resume("key_nope"),
        issuer.update("key_nope", name="n"),
    ):
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
        ({"groups": ("g" * 201,)}, "longer than 200 characters"),
        ({"limits": ("1/minute\n",)}, "does not print"),
        ({"expires_at": datetime(2026, 1, 1)}, "has no time zone"),
        ({"not_before": START, "expires_at": START}, "before it begins"),
        ({"owner": ""}, "The owner is empty. Name one, or leave it out."),
        ({"owner": " "}, "The owner is empty"),
        ({"groups": ("a", "")}, "A group is empty"),
        ({"groups": ("a",) * 17}, "at most 16 groups, not 17"),
        ({"limits": ("often",)}, "The limit 'often' cannot be read"),
        ({"limits": ("1/minute", "2/minute")}, "of the same kind"),
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


async def test_an_update_changes_what_it_names_and_nothing_else(registry: KeyRegistry, clock: Clock) -> None:
    issuer = issuer_of(registry, clock)
    made = (await issuer.create(GRANT)).key
    changed = await issuer.update(
        made.id, limits=("5/minute",), owner=None, groups=("search", "research"), expires_at=None, reason="new team"
    )
    assert changed == replace(made, limits=("5/minute",), owner=None, groups=("search", "research"), expires_at=None)
    assert await registry.get(made.id) == changed
    entry = (await registry.audit(made.id))[-1]
    assert (entry.action, entry.by, entry.reason) == ("update", "tester@host", "new team")
    assert entry.before == {
        "limits": ["60/minute"],
        "owner": "ann",
        "groups": [],
        "expires_at": "2025-05-30T12:00:00+00:00",
    }
    assert entry.after == {"limits": ["5/minute"], "owner": None, "groups": ["search", "research"], "expires_at": None}


async def test_an_update_to_what_is_there_is_none(registry: KeyRegistry, clock: Clock) -> None:
    issuer = issuer_of(registry, clock)
    made = (await issuer.create(GRANT)).key
    assert await issuer.update(made.id, limits=("60/minute",)) == made
    assert await issuer.resume(made.id) == made
    assert len(await registry.audit(made.id)) == 1


async def test_what_no_key_can_have_is_not_updated(registry: KeyRegistry, clock: Clock) -> None:
    issuer = issuer_of(registry, clock)
    made = (await issuer.create(GRANT)).key
    for fields, says in (
        ({"owner": ""}, "The owner is empty"),
        ({"limits": ("often",)}, "cannot be read"),
        ({"expires_at": START}, "which is past. To end a key, suspend or revoke it"),
        ({"not_before": START + timedelta(days=90)}, "before it begins"),
    ):
        with pytest.raises(ValueError, match=says):
            await issuer.update(made.id, **fields)
    assert await registry.get(made.id) == made


async def test_a_key_older_than_a_check_can_be_updated_in_all_else(registry: KeyRegistry, clock: Clock) -> None:
    issuer = issuer_of(registry, clock)
    old = APIKey("key_old", owner="", limits=("often",), created_at=START, expires_at=START - timedelta(days=1))
    await registry.add(NewKey(old, StoredSecret(b"1"), AuditEntry(START, "t", "create", old.id)))
    assert (await issuer.update(old.id, name="crawler")).name == "crawler"
    assert (await issuer.update(old.id, expires_at=START + timedelta(days=1))).state(START) == "active"


async def test_a_reason_that_is_too_long_is_refused(registry: KeyRegistry, clock: Clock) -> None:
    issuer = issuer_of(registry, clock)
    id = (await issuer.create(KeySpec())).key.id
    with pytest.raises(ValueError, match=r"The reason has 1001 characters\. Take at most 1000"):
        await issuer.revoke(id, reason="x" * 1001)
    assert (await issuer.revoke(id, reason="x" * 1000)).revoked


async def test_a_suspended_key_is_refused_until_it_is_resumed(registry: KeyRegistry, clock: Clock) -> None:
    issuer = issuer_of(registry, clock)
    issued = await issuer.create(KeySpec())
    assert (await issuer.suspend(issued.key.id, reason="wild")).state(START) == "suspended"
    assert await opens(registry, clock, issued.secret) == [False]
    # It may get another secret meanwhile, which is refused as well.
    other = await issuer.rotate(issued.key.id)
    assert await opens(registry, clock, issued.secret, other.secret) == [False, False]
    assert (await issuer.resume(issued.key.id)).state(START) == "active"
    assert await opens(registry, clock, issued.secret, other.secret) == [True, True]
    actions = [(entry.action, entry.reason) for entry in await registry.audit(issued.key.id)]
    assert actions == [("create", None), ("suspend", "wild"), ("rotate", None), ("resume", None)]


async def test_a_revoked_key_is_neither_resumed_nor_suspended_nor_updated(registry: KeyRegistry, clock: Clock) -> None:
    issuer = issuer_of(registry, clock)
    id = (await issuer.create(KeySpec())).key.id
    await issuer.suspend(id)
    await issuer.revoke(id)
    for change in (issuer.resume(id), issuer.suspend(id), issuer.update(id, name="n")):
        with pytest.raises(ValueError, match=f"Key '{id}' is revoked for good. Create another."):
            await change
    assert (await registry.get(id)).state(START) == "revoked"


async def test_changes_at_the_same_time_are_all_made(registry: KeyRegistry, clock: Clock) -> None:
    """Each reads the key, and none of them undoes what another one wrote meanwhile."""
    issuer = issuer_of(registry, clock)
    id = (await issuer.create(KeySpec())).key.id
    await asyncio.gather(
        issuer.update(id, name="n"),
        issuer.update(id, owner="ann"),
        issuer.update(id, limits=("1/minute",)),
        issuer.suspend(id),
        issuer.update(id, groups=("g",)),
    )
    key = await registry.get(id)
    assert (key.name, key.owner, key.limits, key.suspended, key.groups) == ("n", "ann", ("1/minute",), True, ("g",))
    # The audit is a chain: what one entry left is what the next one found.
    found: dict[str, object] = {}
    for entry in await registry.audit(id):
        assert {name: found.get(name, entry.before[name]) for name in entry.before} == entry.before
        found |= entry.after


async def test_several_keys_are_created_in_order(registry: KeyRegistry, clock: Clock) -> None:
    issued = await issuer_of(registry, clock).create_all([KeySpec(name=str(number)) for number in range(3)])
    assert [each.key.name for each in issued] == ["0", "1", "2"]
    assert await opens(registry, clock, *(each.secret for each in issued)) == [True] * 3


@pytest.mark.parametrize("end", [START, START - timedelta(days=1)])
async def test_a_key_that_has_ended_already_is_not_created(registry: KeyRegistry, clock: Clock, end: datetime) -> None:
    issuer = issuer_of(registry, clock)
    with pytest.raises(ValueError, match="which is past"):
        await issuer.create_all([KeySpec(), KeySpec(expires_at=end)])
    with pytest.raises(ValueError, match="which is past"):
        await issuer.adopt(THEIRS, KeySpec(expires_at=end))
    assert await registry.list() == []


def test_a_scope_that_opens_nothing_here_is_pointed_out() -> None:
    assert KeySpec(scopes=frozenset({"chat", "explain"})).warnings == ()
    first, second = KeySpec(scopes=frozenset({"caht", "billing"})).warnings
    known = "chat, embeddings, models, explain"
    assert first == f"Scope 'billing' opens nothing of xrouter, which knows {known}."
    assert second == f"Scope 'caht' opens nothing of xrouter, which knows {known}. Did you mean 'chat'?"


def test_the_known_scopes_are_those_that_the_router_asks_for() -> None:
    sources = [(PACKAGE / file).read_text("utf-8") for file in FILES if file.parts[0] in ("router", "dialects")]
    asked = {scope for source in sources for scope in re.findall(r'(?:scope=|has_scope\()"(\w+)"', source)}
    assert asked == set(SCOPES)


@pytest.mark.parametrize(
    ("where", "names"),
    [
        (KeyFilter(), "abcd"),
        (KeyFilter(owner="ann"), "ab"),
        (KeyFilter(group="search"), "bc"),
        (KeyFilter(owner="ann", group="search"), "b"),
        (KeyFilter(name="B"), "b"),
        (KeyFilter(states=frozenset({"suspended", "revoked"})), "cd"),
        (KeyFilter(owner="nobody"), ""),
    ],
)
async def test_keys_are_found_by_owner_group_name_and_state(
    registry: KeyRegistry, clock: Clock, where: KeyFilter, names: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(issuer_module, "_BATCH", 2)
    issuer = issuer_of(registry, clock)
    for name, owner, groups in (
        ("a", "ann", ()),
        ("b", "ann", ("search",)),
        ("c", None, ("research", "search")),
        ("d", "bob", ("research",)),
    ):
        await issuer.create(KeySpec(name=name, owner=owner, groups=groups))
        clock.tick(1)
    ids = [key.id for key in await issuer.list()]
    await issuer.suspend(ids[2])
    await issuer.revoke(ids[3])
    found = await issuer.list(where)
    assert "".join(key.name for key in found) == names
    # Page by page it is the same.
    paged: list[APIKey] = []
    while page := await issuer.list(where, after=paged[-1].id if paged else None, most=1):
        paged += page
    assert paged == found


async def test_no_key_gets_a_limit_in_another_currency_than_that_of_the_prices() -> None:
    registry = MemoryKeyStore()
    issuer, careless = Issuer(registry, by="tester", currency="RUB"), Issuer(registry, by="tester")
    id = (await issuer.create(KeySpec(limits=("60/minute; 20 RUB/day",)))).key.id
    for refused in (
        issuer.create(KeySpec(limits=("60/minute; 20 USD/day",))),
        issuer.adopt(THEIRS, KeySpec(limits=("20 USD/day",))),
        issuer.update(id, limits=("20 USD/day",)),
    ):
        with pytest.raises(ValueError, match=r"^The limit 20 USD per 1 day is not in RUB, .* Write it in RUB\.$"):
            await refused
    assert (await careless.update(id, limits=("20 USD/day",))).limits == ("20 USD/day",)
