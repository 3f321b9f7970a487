from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from xrouter_asgi.envelopes import openai
from xrouter_asgi.errors import KeyStoreUnavailable
from xrouter_asgi.keys import APIKey, CachedKeys, Changed, Hasher, StaticKeys, cache, new_secret
from xrouter_asgi.keys.secret import ALPHABET

from .clock import START, Clock

SECRET = new_secret()
OTHER = new_secret()
KEY = APIKey("key_1", created_at=START)


class Scripted:
    """A store that answers as it is told, and counts how often it is asked and what for."""

    def __init__(self, keys: dict[str, APIKey] | None = None, *, imported: bool = False) -> None:
        self.imported = imported
        self.hasher = Hasher()
        self.keys = {self.hasher.digest(secret): key for secret, key in (keys or {}).items()}
        self.asked: list[bytes] = []
        self.uses: list[str] = []
        self.failure: BaseException | None = None
        self.gate: asyncio.Event | None = None
        self.entered = asyncio.Event()
        self.before_answer: Callable[[], None] = lambda: None
        self.closed = False

    async def find(self, digests: Sequence[bytes], /) -> APIKey | None:
        self.asked.append(digests[0])
        self.entered.set()
        if self.gate is not None:
            await self.gate.wait()
        self.before_answer()
        if self.failure is not None:
            raise self.failure
        return next((self.keys[digest] for digest in digests if digest in self.keys), None)

    def used(self, key: APIKey, /) -> None:
        self.uses.append(key.id)

    def watch(self, changed: Changed, /) -> None:
        self.tell = changed

    async def aclose(self) -> None:
        self.closed = True


@pytest.fixture
def clock() -> Clock:
    return Clock()


def cached(store: Scripted, clock: Clock) -> CachedKeys:
    return CachedKeys(store, clock=clock, now=clock.wall)


async def test_a_known_key_is_asked_for_again_after_5_seconds_and_not_before(clock: Clock) -> None:
    store = Scripted({SECRET: KEY})
    keys = cached(store, clock)
    for seconds, asked in ((0, 1), (4.9, 1), (0.1, 2), (4.9, 2)):
        clock.tick(seconds)
        assert await keys.check(SECRET) == KEY
        assert len(store.asked) == asked


async def test_an_unknown_key_is_asked_for_again_after_2_seconds_and_not_before(clock: Clock) -> None:
    store = Scripted()
    keys = cached(store, clock)
    for seconds, asked in ((0, 1), (1.9, 1), (0.1, 2), (1.9, 2)):
        clock.tick(seconds)
        assert await keys.check(SECRET) is None
        assert len(store.asked) == asked


async def test_a_revocation_is_effective_5_seconds_after_it_was_made_also_when_the_answer_was_slow(
    clock: Clock,
) -> None:
    store = Scripted({SECRET: KEY})
    keys = cached(store, clock)
    store.before_answer = lambda: clock.tick(1.5)  # The row was read as the question came; then the network was slow.
    assert await keys.check(SECRET) == KEY
    store.keys = {digest: replace(key, active=False) for digest, key in store.keys.items()}
    clock.tick(3.5)
    assert await keys.check(SECRET) is None


async def test_a_key_that_was_deleted_is_unknown(clock: Clock) -> None:
    store = Scripted({SECRET: KEY})
    keys = cached(store, clock)
    assert await keys.check(SECRET) == KEY
    store.keys.clear()
    clock.tick(5)
    assert await keys.check(SECRET) is None
    # Nor does an outage bring it back.
    clock.tick(5)
    store.failure = OSError()
    with pytest.raises(KeyStoreUnavailable):
        await keys.check(SECRET)


@pytest.mark.parametrize(
    ("key", "usable"),
    [
        (replace(KEY, expires_at=START + timedelta(seconds=1.5)), [True, True, False, False]),
        (replace(KEY, active=False), [False, False, False, False]),
        (replace(KEY, not_before=START + timedelta(seconds=1)), [False, True, True, True]),
        (replace(KEY, not_before=START + timedelta(seconds=1.5)), [False, False, True, True]),
    ],
)
async def test_validity_is_looked_at_on_every_hit(clock: Clock, key: APIKey, usable: list[bool]) -> None:
    store = Scripted({SECRET: key})
    keys = cached(store, clock)
    found = []
    for seconds in (0, 1, 0.5, 0.4):
        clock.tick(seconds)
        found.append(await keys.check(SECRET) is not None)
    assert (found, len(store.asked)) == (usable, 1)
    assert len(store.uses) == sum(usable)


@pytest.mark.parametrize(
    ("key", "remembered"),
    [
        (KEY, [True, True, True, False]),
        (replace(KEY, expires_at=START + timedelta(seconds=60)), [True, True, True, False]),
        (replace(KEY, expires_at=START + timedelta(seconds=1.5)), [True, True, False, False]),
        (replace(KEY, not_before=START + timedelta(seconds=1)), [False, False, False, False]),
        (replace(KEY, active=False), [False, False, False, False]),
    ],
)
async def test_a_key_is_remembered_while_it_is_good_and_need_not_be_looked_up(
    clock: Clock, key: APIKey, remembered: list[bool]
) -> None:
    store = Scripted({SECRET: key})
    keys = cached(store, clock)
    assert keys.remembered(SECRET) is None
    await keys.check(SECRET)
    uses = len(store.uses)
    found = []
    for seconds in (0, 1, 0.5, 3.5):
        clock.tick(seconds)
        found.append(keys.remembered(SECRET) == key.principal())
    assert found == remembered
    assert len(store.asked) == 1
    assert len(store.uses) - uses == sum(remembered)


async def test_neither_an_unknown_key_nor_one_that_is_due_during_an_outage_is_remembered(clock: Clock) -> None:
    store = Scripted({SECRET: KEY})
    keys = cached(store, clock)
    await keys.check(OTHER)
    await keys.check(SECRET)
    clock.tick(5)
    store.failure = OSError("away")
    assert await keys.check(SECRET) == KEY
    assert [keys.remembered(secret) for secret in (SECRET, OTHER)] == [None, None]


async def test_a_lookup_that_took_long_leaves_less_time_to_be_remembered(clock: Clock) -> None:
    store = Scripted({SECRET: KEY})
    keys = cached(store, clock)
    store.before_answer = lambda: clock.tick(1.5)
    await keys.check(SECRET)
    clock.tick(3.4)
    assert keys.remembered(SECRET) is not None
    clock.tick(0.1)
    assert keys.remembered(SECRET) is None


async def test_neither_a_secret_nor_a_digest_that_a_store_has_is_remembered(clock: Clock) -> None:
    keys = cached(Scripted({SECRET: KEY}), clock)
    await keys.check(SECRET)
    await keys.check(OTHER)
    shown = repr([keys._known.items(), keys._unknown.items()])
    assert KEY.id in shown
    for secret in (SECRET, OTHER):
        assert secret not in shown
        assert repr(Hasher().digest(secret)) not in shown


async def test_junk_is_refused_without_a_lookup(clock: Clock) -> None:
    store = Scripted()
    keys = cached(store, clock)
    for junk in (
        "",
        "sk-" + "a" * 48,
        SECRET[:-1] + "-",
        SECRET + "\x00",
        "' OR 1=1 --",
        "ключ" * 10,
        "\ud800",
        "x" * 10**6,
    ):
        assert await keys.check(junk) is None
    assert store.asked == []


async def test_keys_of_another_making_are_looked_up_where_the_store_says_that_it_has_them(clock: Clock) -> None:
    store = Scripted({"sk-theirs": KEY}, imported=True)
    keys = cached(store, clock)
    assert await keys.check("sk-theirs") == KEY
    for junk in ("", "a b", "ключ", "\ud800", "\x00", "x" * 513):
        assert await keys.check(junk) is None
    assert len(store.asked) == 1


async def test_the_same_secret_is_looked_up_once_at_a_time(clock: Clock) -> None:
    store = Scripted({SECRET: KEY})
    store.gate = asyncio.Event()
    keys = cached(store, clock)
    checks = [asyncio.create_task(keys.check(SECRET)) for _ in range(50)]
    other = asyncio.create_task(keys.check(new_secret()))
    await store.entered.wait()
    store.gate.set()
    assert await asyncio.gather(*checks) == [KEY] * 50
    assert await other is None
    assert len(store.asked) == 2


async def test_a_caller_that_leaves_does_not_take_the_answer_from_the_others(clock: Clock) -> None:
    store = Scripted({SECRET: KEY})
    store.gate = asyncio.Event()
    keys = cached(store, clock)
    leaving, staying = asyncio.create_task(keys.check(SECRET)), asyncio.create_task(keys.check(SECRET))
    await store.entered.wait()
    leaving.cancel()
    await asyncio.wait([leaving])
    store.gate.set()
    assert await staying == KEY
    assert leaving.cancelled()
    assert len(store.asked) == 1


async def test_a_lookup_that_everybody_left_still_fills_the_cache_and_its_failure_disturbs_nobody(clock: Clock) -> None:
    store = Scripted({SECRET: KEY})
    keys = cached(store, clock)
    for failure in (None, OSError("away")):
        store.gate, store.failure, store.entered = asyncio.Event(), failure, asyncio.Event()
        leaving = asyncio.create_task(keys.check(SECRET))
        await store.entered.wait()
        leaving.cancel()
        await asyncio.wait([leaving])
        store.gate.set()
        await keys.aclose()
        assert await keys.check(SECRET) == KEY
        clock.tick(5)
    assert len(store.asked) == 2


async def test_known_keys_outlive_an_outage_of_60_seconds_and_unknown_ones_are_a_503(clock: Clock) -> None:
    store = Scripted({SECRET: KEY})
    keys = cached(store, clock)
    assert await keys.check(SECRET) == KEY
    store.failure = KeyStoreUnavailable("no", detail="refused")
    for seconds in (5, 20, 34.9):
        clock.tick(seconds)
        assert await keys.check(SECRET) == KEY
        with pytest.raises(KeyStoreUnavailable) as caught:
            await keys.check(new_secret())
        assert (caught.value.status, caught.value.code, caught.value.retry_after) == (503, "store_unavailable", 1)
        assert "refused" not in str(openai(caught.value, ""))
    clock.tick(0.1)
    with pytest.raises(KeyStoreUnavailable):
        await keys.check(SECRET)


async def test_an_outage_never_makes_an_expired_or_revoked_key_good(clock: Clock) -> None:
    expiring, revoked = new_secret(), new_secret()
    store = Scripted(
        {expiring: replace(KEY, expires_at=START + timedelta(seconds=30)), revoked: replace(KEY, active=False)}
    )
    keys = cached(store, clock)
    assert [await keys.check(secret) is None for secret in (expiring, revoked)] == [False, True]
    store.failure = OSError("away")
    clock.tick(30)
    for secret in (expiring, revoked):
        with pytest.raises(KeyStoreUnavailable):
            await keys.check(secret)
    assert len(store.uses) == 1


async def test_a_store_that_is_away_is_asked_once_a_second_and_nobody_else_waits(clock: Clock) -> None:
    store = Scripted({SECRET: KEY})
    keys = cached(store, clock)
    assert await keys.check(SECRET) == KEY
    clock.tick(5)
    store.failure = OSError("away")
    assert await keys.check(SECRET) == KEY
    asked = len(store.asked)
    for _ in range(20):
        assert await keys.check(SECRET) == KEY
        with pytest.raises(KeyStoreUnavailable):
            await keys.check(new_secret())
    assert len(store.asked) == asked
    # One tries, and does not come back; the others go on without waiting for it.
    clock.tick(1)
    store.gate, store.entered = asyncio.Event(), asyncio.Event()
    probe = asyncio.create_task(keys.check(SECRET))
    await store.entered.wait()
    assert await keys.check(SECRET) == KEY
    with pytest.raises(KeyStoreUnavailable):
        await keys.check(new_secret())
    assert len(store.asked) == asked + 1
    store.gate.set()
    assert await probe == KEY


async def test_a_store_that_is_back_is_used_at_once_and_the_log_tells_both(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    store = Scripted()
    keys = cached(store, clock)
    store.failure = KeyStoreUnavailable("no", detail="connection refused")
    for _ in range(3):
        clock.tick(1)
        with pytest.raises(KeyStoreUnavailable):
            await keys.check(SECRET)
    store.failure = None
    store.keys[store.hasher.digest(SECRET)] = KEY
    clock.tick(1)
    assert await keys.check(SECRET) == KEY
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.ERROR, "The key store cannot be asked (connection refused). Known keys stay good for 60 s."),
        (logging.WARNING, "The key store answers again."),
    ]


@pytest.mark.parametrize(
    "failure", [OSError("x"), ValueError("x"), TimeoutError(), KeyError("x"), ExceptionGroup("x", [OSError()])]
)
async def test_whatever_a_store_raises_is_a_503_and_admits_nobody(clock: Clock, failure: Exception) -> None:
    store = Scripted({SECRET: KEY})
    store.failure = failure
    with pytest.raises(KeyStoreUnavailable):
        await cached(store, clock).check(SECRET)
    assert store.uses == []


async def test_a_store_that_does_not_answer_counts_as_away(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "TIMEOUT", 0.01)
    store = Scripted({SECRET: KEY})
    store.gate = asyncio.Event()
    with pytest.raises(KeyStoreUnavailable):
        await cached(store, clock).check(SECRET)


async def test_a_store_that_hangs_holds_up_one_holder_of_a_known_key(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Scripted({SECRET: KEY, OTHER: KEY})
    keys = cached(store, clock)
    assert [await keys.check(SECRET), await keys.check(OTHER)] == [KEY, KEY]
    clock.tick(5)
    store.gate = asyncio.Event()
    monkeypatch.setattr(cache, "PATIENCE", 0.01)
    assert await keys.check(SECRET) == KEY
    monkeypatch.setattr(cache, "PATIENCE", 3600)
    assert [await keys.check(SECRET), await keys.check(OTHER)] == [KEY, KEY]
    assert len(store.asked) == 4
    store.keys.clear()
    store.gate.set()
    await keys.aclose()
    assert [await keys.check(SECRET), await keys.check(OTHER)] == [None, None]


async def test_a_store_that_is_quick_again_is_waited_for(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Scripted({SECRET: KEY})
    keys = cached(store, clock)
    await keys.check(SECRET)
    clock.tick(5)
    store.gate = asyncio.Event()
    monkeypatch.setattr(cache, "PATIENCE", 0.01)
    await keys.check(SECRET)
    store.gate.set()
    await keys.aclose()
    monkeypatch.setattr(cache, "PATIENCE", 3600)
    clock.tick(5)
    store.keys.clear()
    assert await keys.check(SECRET) is None


async def test_a_key_that_nobody_knows_yet_waits_for_a_store_that_hangs(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "PATIENCE", 0)
    store = Scripted({SECRET: KEY})
    store.gate = asyncio.Event()
    asking = asyncio.create_task(cached(store, clock).check(SECRET))
    await store.entered.wait()
    store.gate.set()
    assert await asking == KEY


async def test_junk_cannot_push_good_keys_out(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "CAPACITY", 10)
    secrets = [new_secret() for _ in range(10)]
    store = Scripted(dict.fromkeys(secrets, KEY))
    keys = cached(store, clock)
    for secret in [*secrets, *(new_secret() for _ in range(100))]:
        await keys.check(secret)
    store.asked.clear()
    for secret in secrets:
        assert await keys.check(secret) == KEY
    assert store.asked == []


async def test_the_key_that_was_used_longest_ago_is_let_go_first(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "CAPACITY", 2)
    first, second, third = secrets = [new_secret() for _ in range(3)]
    store = Scripted(dict.fromkeys(secrets, KEY))
    keys = cached(store, clock)
    for secret in (first, second, first, third):
        await keys.check(secret)
    store.asked.clear()
    for secret in (first, third, second):
        await keys.check(secret)
    assert store.asked == [store.hasher.digest(second)]


async def test_among_a_hundred_thousand_keys_that_share_20_characters_each_opens_itself(clock: Clock) -> None:
    """A cache by a part of the key or of the digest would give one caller the rights of another (CVE-2026-35030)."""
    start = "sk-shared-prefix-xxx"
    secrets = [f"{start}{ALPHABET[i % 62]}{i:08d}" for i in range(100_000)]
    keys = CachedKeys(StaticKeys({secret: APIKey(secret[20:], created_at=START) for secret in secrets}), clock=clock)
    for secret in secrets[::25] * 2:
        key = await keys.check(secret)
        assert key is not None
        assert key.id == secret[20:]
        assert await keys.check(secret[:-1]) is None


async def test_a_function_is_a_store(clock: Clock) -> None:
    hasher = Hasher({1: "p" * 32, 0: ""})
    table = {Hasher().digest("sk-theirs"): KEY}
    asked: list[bytes] = []

    async def find(digest: bytes) -> APIKey | None:
        asked.append(digest)
        return table.get(digest)

    keys = CachedKeys(find, hasher=hasher, clock=clock, now=clock.wall)
    assert await keys.check("sk-theirs") == KEY
    assert asked == list(hasher.digests("sk-theirs"))
    await keys.aclose()


async def test_closing_waits_for_lookups_and_closes_the_store(clock: Clock) -> None:
    store = Scripted({SECRET: KEY})
    store.gate = asyncio.Event()
    keys = cached(store, clock)
    check = asyncio.create_task(keys.check(SECRET))
    await store.entered.wait()
    closing = asyncio.create_task(keys.aclose())
    for _ in range(5):  # enough for a store that is closed at once
        await asyncio.sleep(0)
    assert not store.closed
    store.gate.set()
    await closing
    assert await check == KEY
    assert store.closed


async def test_a_key_becomes_a_principal() -> None:
    key = replace(KEY, owner="ann", scopes=frozenset({"chat"}), models=("gpt-*",), limits=("1/minute",))
    principal = key.principal()
    assert (principal.id, principal.owner, principal.scopes) == ("key_1", "ann", frozenset({"chat"}))
    assert principal.may_use("gpt-4")
    assert not principal.may_use("other")
    assert principal.limits == ("1/minute",)


async def test_unknown_revoked_and_expired_keys_take_the_same_path(clock: Clock) -> None:
    """As often asked for, at the same times, and told the same, also while the store is away."""
    revoked, expired, unknown = new_secret(), new_secret(), new_secret()
    paths = []
    for secret in (revoked, expired, unknown):
        clock.seconds = 0
        store = Scripted({revoked: replace(KEY, active=False), expired: replace(KEY, expires_at=START)})
        keys, path = cached(store, clock), []
        for seconds in (0, 1.9, 0.1, 1.9, 3, 60):
            clock.tick(seconds)
            path.append((await keys.check(secret), len(store.asked)))
        store.failure = OSError("away")
        clock.tick(2)
        with pytest.raises(KeyStoreUnavailable):
            await keys.check(secret)
        paths.append([*path, len(store.asked), len(store.uses)])
    assert paths[0] == paths[1] == paths[2] == [*((None, asked) for asked in (1, 1, 2, 2, 3, 4)), 5, 0]


async def test_a_program_that_is_shut_down_during_a_lookup_hears_no_complaint(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    store = Scripted()
    store.gate = asyncio.Event()
    check = asyncio.create_task(cached(store, clock).check(SECRET))
    await store.entered.wait()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.wait(others)
    assert check.cancelled()
    assert caplog.records == []


async def test_a_change_during_the_lookup_is_not_overlooked(clock: Clock) -> None:
    store = Scripted({SECRET: KEY})
    keys = cached(store, clock)

    def revoke() -> None:
        """The row was read already; now it changes, and the word comes before the answer."""
        store.before_answer = lambda: None
        store.keys = {digest: replace(key, active=False) for digest, key in store.keys.items()}
        store.tell("key_1")

    async def find(digests: Sequence[bytes], /) -> APIKey | None:
        found = store.keys[digests[0]]
        store.before_answer()
        return found

    store.before_answer = revoke
    store.find = find  # type: ignore[method-assign]
    assert await keys.check(SECRET) is None


async def test_the_change_of_another_key_during_the_lookup_asks_nobody_again(clock: Clock) -> None:
    store = Scripted({SECRET: KEY})
    store.before_answer = lambda: store.tell("key_2")
    assert await cached(store, clock).check(SECRET) == KEY
    assert len(store.asked) == 1


async def test_after_missed_word_every_key_is_looked_up_again_and_none_is_forgotten(clock: Clock) -> None:
    other = replace(KEY, id="key_2")
    store = Scripted({SECRET: KEY, OTHER: other})
    keys = cached(store, clock)
    assert [await keys.check(SECRET), await keys.check(OTHER)] == [KEY, other]
    store.tell(None)
    assert [await keys.check(SECRET), await keys.check(OTHER)] == [KEY, other]
    assert len(store.asked) == 4
    # The store goes away: what was known is good for a while.
    store.tell(None)
    store.failure = OSError("away")
    clock.tick(30)
    assert [await keys.check(SECRET), await keys.check(OTHER)] == [KEY, other]


async def test_a_changed_key_is_forgotten_even_if_the_store_goes_away_then(clock: Clock) -> None:
    store = Scripted({SECRET: KEY})
    keys = cached(store, clock)
    await keys.check(SECRET)
    store.tell("key_1")
    store.failure = OSError("away")
    with pytest.raises(KeyStoreUnavailable):
        await keys.check(SECRET)


def test_a_store_that_lacks_a_method_is_refused_when_it_is_given() -> None:
    class Deaf:
        imported = False

        async def find(self, digests: Sequence[bytes], /) -> APIKey | None: ...

        def used(self, key: APIKey, /) -> None: ...

    with pytest.raises(TypeError, match=r"Deaf is not a KeyStore: it has no watch, aclose\."):
        CachedKeys(Deaf())  # type: ignore[arg-type]  # wrong on purpose
