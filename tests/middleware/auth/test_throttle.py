from __future__ import annotations

import asyncio

import pytest

from tests.asgi_client import Exchange, Headers, http_scope
from xrouter_asgi import APIKeyMiddleware
from xrouter_asgi.keys import new_secret
from xrouter_asgi.middleware.auth import credential
from xrouter_asgi.middleware.auth.credential import Failures
from xrouter_asgi.testing.virtual import virtual

from .guarded import BEARER, SECRET, CountingKeys, Inside, bearer

HOME = "192.0.2.1"
JUNK = bearer("junk")


class Guarded:
    """The middleware, asked from any address."""

    def __init__(self) -> None:
        self.store = CountingKeys()
        self._app = APIKeyMiddleware(Inside(), store=self.store)

    async def ask(self, headers: Headers | None = None, *, address: str | None = HOME) -> int:
        """The status for these headers, or for junk."""
        headers = JUNK if headers is None else headers
        client = None if address is None else (address, 50000)
        answer = await Exchange(self._app, http_scope("GET", "/", headers=headers, client=client)).run()
        return answer.status

    async def fail(self, *, address: str | None = HOME) -> None:
        """Be wrong until it is noticed."""
        while await self.ask(address=address) != 429:
            pass


@virtual
async def test_an_address_may_be_wrong_five_times_a_second() -> None:
    guarded = Guarded()
    assert [await guarded.ask() for _ in range(8)] == [401] * 5 + [429] * 3
    await asyncio.sleep(0.2)
    assert [await guarded.ask() for _ in range(3)] == [401, 429, 429]
    await asyncio.sleep(1.0)
    assert [await guarded.ask() for _ in range(8)] == [401] * 5 + [429] * 3
    assert guarded.store.lookups == 0


@virtual
async def test_the_answer_says_how_long_to_wait() -> None:
    app = APIKeyMiddleware(Inside(), store=CountingKeys())
    scope = http_scope("GET", "/", headers=JUNK)
    for _ in range(5):
        await Exchange(app, scope).run()
    await asyncio.sleep(0.05)
    answer = await Exchange(app, scope).run()
    assert (answer.status, answer.error["type"], answer.error["code"]) == (429, "requests", "rate_limit_exceeded")
    assert answer.error["message"].endswith("Please try again in 0.1s.")
    assert (answer.header("retry-after"), answer.header("retry-after-ms")) == ("1", "150")
    assert answer.header("www-authenticate") is None


@virtual
async def test_a_request_without_a_key_guesses_nothing() -> None:
    guarded = Guarded()
    assert {await guarded.ask([]) for _ in range(20)} == {401}
    await guarded.fail()
    assert await guarded.ask([]) == 401


@virtual
async def test_one_address_leaves_the_others_alone() -> None:
    guarded = Guarded()
    await guarded.fail()
    assert await guarded.ask(address="192.0.2.2") == 401
    assert await guarded.ask(BEARER, address="192.0.2.2") == 200


@virtual
async def test_no_header_moves_the_address() -> None:
    guarded = Guarded()
    await guarded.fail()
    for name in (b"x-forwarded-for", b"forwarded", b"x-real-ip", b"cf-connecting-ip", b"true-client-ip"):
        assert await guarded.ask([*JUNK, (name, b"for=198.51.100.7")]) == 429, name


@virtual
async def test_a_good_key_that_nobody_has_seen_does_not_wait_for_its_neighbours() -> None:
    guarded = Guarded()
    await guarded.fail()
    assert await guarded.ask(BEARER) == 200


@virtual
async def test_an_address_that_waits_may_have_ten_keys_with_a_right_checksum_looked_up_in_a_second() -> None:
    guarded = Guarded()
    await guarded.fail()
    assert [await guarded.ask(bearer(new_secret())) for _ in range(12)] == [401] * 10 + [429] * 2
    assert guarded.store.lookups == 10
    await asyncio.sleep(0.1)
    assert [await guarded.ask(bearer(new_secret())) for _ in range(2)] == [401, 429]


@virtual
async def test_a_key_of_another_making_that_nobody_has_seen_waits() -> None:
    tries = Failures()
    for _ in range(5):
        tries.wrong(HOME, "junk")
    assert tries.wait(HOME, "sk-of-another-gateway") > 0


@pytest.mark.parametrize(
    ("forwarded", "warnings"),
    [
        ([], 0),
        ([b"198.51.100.7"], 1),
        ([b"198.51.100.7", b"1192.0.2.1"], 1),
        ([b"192.0.2.1"], 0),
        ([b"198.51.100.7, 192.0.2.1"], 0),
    ],
)
@virtual
async def test_a_proxy_whose_word_is_not_believed_is_told_of_once(
    forwarded: list[bytes], warnings: int, caplog: pytest.LogCaptureFixture
) -> None:
    guarded = Guarded()
    for _ in range(2):
        await guarded.ask([*JUNK, *((b"x-forwarded-for", value) for value in forwarded)])
    assert caplog.text.count(f"from {HOME} with an X-Forwarded-For that is not believed") == warnings


@virtual
async def test_a_key_that_was_good_before_never_waits_for_its_neighbours() -> None:
    guarded = Guarded()
    assert await guarded.ask(BEARER) == 200
    await guarded.fail()
    assert [await guarded.ask(BEARER), await guarded.ask()] == [200, 429]


@virtual
async def test_a_key_that_went_wrong_waits_like_any_other() -> None:
    tries, secret = Failures(), "sk-of-another-gateway"
    tries.right(secret)
    for _ in range(5):
        tries.wrong(HOME, "junk")
    assert tries.wait(HOME, secret) == 0
    tries.wrong(HOME, secret)
    assert tries.wait(HOME, secret) > 0


@virtual
async def test_peers_without_an_address_are_one() -> None:
    guarded = Guarded()
    await guarded.fail(address=None)
    assert [await guarded.ask(address=None), await guarded.ask()] == [429, 401]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", True),
        ("2001:db8:1:2::1", "2001:DB8:1:2::1", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("fe80::1%eth0", "fe80::1%eth0", True),
        ("unix:a", "unix:b", False),
        ("testclient", "testclient", True),
    ],
)
@virtual
async def test_a_network_of_ipv6_is_one_caller(one: str, other: str, *, same: bool) -> None:
    guarded = Guarded()
    await guarded.fail(address=one)
    assert await guarded.ask(address=other) == (429 if same else 401)


@virtual
async def test_failures_that_were_under_way_together_cost_one_wait() -> None:
    tries = Failures()
    for _ in range(1000):
        tries.wrong(HOME, "junk")
    assert tries.wait(HOME, "junk") == pytest.approx(0.2, abs=1e-6)
    await asyncio.sleep(1.0)
    for _ in range(4):
        tries.wrong(HOME, "junk")
    assert tries.wait(HOME, "junk") == 0


@virtual
async def test_memory_is_bounded_and_the_oldest_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credential, "ADDRESSES", 3)
    monkeypatch.setattr(credential, "TRUSTED", 2)
    tries = Failures()
    for secret in ("a", "b", "a", "c"):
        tries.right(secret)
    for address in ("1", "2", "3", "1", "4"):
        for _ in range(5):
            tries.wrong(address, "junk")
    assert [address for address in "1234" if tries.wait(address, "junk")] == ["1", "3", "4"]
    assert [secret for secret in "abc" if not tries.wait("1", secret)] == ["a", "c"]


@virtual
async def test_no_secret_is_kept() -> None:
    tries = Failures()
    tries.right(SECRET)
    tries.wrong(HOME, SECRET[:-1])
    assert SECRET[:-1] not in repr(vars(tries))
