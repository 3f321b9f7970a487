"""Odd keys, schemes and places for them, each against the router with one provider behind it."""

from __future__ import annotations

import pytest

from tests.asgi_client import Answer, Exchange, Headers, body_messages, http_scope
from xrouter_asgi import APIKeyMiddleware, LLMRouter
from xrouter_asgi.keys import new_secret
from xrouter_asgi.testing.scripted import ScriptedProvider

from .guarded import BEARER, SECRET, CountingKeys

KEY = SECRET.encode()
CHAT = b'{"model": "m", "messages": [{"role": "user", "content": "hi"}]}'


async def ask(headers: Headers, *, query: bytes = b"") -> tuple[Answer, int, int]:
    """The answer, how often the provider was called, and how often the store."""
    provider, store = ScriptedProvider(), CountingKeys()
    app = APIKeyMiddleware(LLMRouter({"m": provider}), store=store)
    scope = http_scope("POST", "/v1/chat/completions", headers=headers, query_string=query)
    answer = await Exchange(app, scope, script=body_messages(CHAT)).run()
    return answer, len(provider.calls), store.lookups


@pytest.mark.parametrize(
    "headers",
    [
        [(b"authorization", b"Bearer " + KEY)],
        [(b"authorization", b"bearer " + KEY)],
        [(b"authorization", b"BEARER   " + KEY + b" ")],
        [(b"x-api-key", KEY)],
        [(b"x-api-key", b"\t" + KEY + b" ")],
        [(b"api-key", KEY)],
        [(b"authorization", b"Bearer " + KEY), (b"x-api-key", KEY), (b"api-key", KEY)],
        [(b"authorization", b"Bearer"), (b"x-api-key", KEY)],
        [(b"authorization", b""), (b"api-key", KEY)],
    ],
    ids=str,
)
async def test_a_key_is_read_where_clients_put_it(headers: Headers) -> None:
    answer, calls, _ = await ask(headers)
    assert (answer.status, calls) == (200, 1)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"authorization", b"")],
        [(b"authorization", b"Bearer")],
        [(b"authorization", b"Bearer  ")],
        [(b"x-api-key", b" ")],
        [(b"cookie", b"authorization=Bearer " + KEY)],
        [(b"x-authorization", b"Bearer " + KEY)],
        [(b"proxy-authorization", b"Bearer " + KEY)],
    ],
    ids=str,
)
async def test_nothing_is_no_key(headers: Headers) -> None:
    answer, calls, lookups = await ask(headers)
    assert (answer.status, answer.error["code"], calls, lookups) == (401, None, 0, 0)
    assert answer.header("www-authenticate") == 'Bearer realm="xrouter"'


NEAR = SECRET[:-1] + ("A" if SECRET[-1] != "A" else "B")


@pytest.mark.parametrize(
    "key",
    [
        b"x",
        b"null",
        b"undefined",
        b"Bearer " + KEY,
        KEY[:-1],
        KEY + b"0",
        KEY.swapcase(),
        NEAR.encode(),
        KEY + b"\x00",
        KEY + b"\n",
        b"\x00" + KEY,
        KEY + b" " + KEY,
        KEY + b", Bearer " + KEY,
        b'"' + KEY + b'"',
        b"' OR 1=1 --",
        b"*",
        "ключ".encode(),
        "ключ".encode("utf-16"),
        b"\xff\xfe\x80",
        b"a" * 100_000,
        KEY.replace(b"_", b"%5F"),
        b"xr_live_" + b"\xd9\xa1" * 19,  # digits, but of another script
    ],
    ids=lambda key: repr(key[:24]),
)
async def test_an_odd_key_is_a_wrong_key(key: bytes) -> None:
    for headers in ([(b"authorization", b"Bearer " + key)], [(b"x-api-key", key)], [(b"api-key", key)]):
        answer, calls, lookups = await ask(headers)
        assert (answer.status, answer.error["code"], calls, lookups) == (401, "invalid_api_key", 0, 0)


@pytest.mark.parametrize(
    "value",
    [
        b"Basic " + KEY,
        b"Basic dXNlcjpwYXNz",
        b"Digest username=x",
        b"Token " + KEY,
        b"Negotiate YII=",
        KEY,
        b"Bearer\t" + KEY,
        b"Bearer:" + KEY,
        b"Bearer=" + KEY,
        b"Bearer," + KEY,
        "Ｂearer ".encode() + KEY,
        b"B\xc3\xa9arer " + KEY,
        b"\x00Bearer " + KEY,
    ],
    ids=repr,
)
async def test_another_scheme_is_refused_even_beside_a_good_key(value: bytes) -> None:
    for more in ([], [(b"x-api-key", KEY)]):
        answer, calls, lookups = await ask([(b"authorization", value), *more])
        assert (answer.status, answer.error["code"], calls, lookups) == (401, "invalid_api_key", 0, 0)
        assert "Authorization: Bearer KEY" in answer.error["message"]


@pytest.mark.parametrize("name", [b"authorization", b"x-api-key", b"api-key"])
async def test_a_header_that_comes_twice_is_refused_even_if_it_says_the_same(name: bytes) -> None:
    value = b"Bearer " + KEY if name == b"authorization" else KEY
    for first, second in ((value, value), (value, b""), (b"", value), (value, b"x"), (b"x", value)):
        answer, calls, lookups = await ask([(name, first), (b"host", b"x"), (name, second)])
        assert (answer.status, answer.error["code"], calls, lookups) == (401, "invalid_api_key", 0, 0)


@pytest.mark.parametrize("name", [b"x-api-key", b"api-key"])
async def test_two_keys_are_refused_even_if_both_are_good_for_something(name: bytes) -> None:
    answer, calls, lookups = await ask([*BEARER, (name, new_secret().encode())])
    assert (answer.status, answer.error["code"], calls, lookups) == (401, "invalid_api_key", 0, 0)
    assert "different API keys" in answer.error["message"]


@pytest.mark.parametrize(
    "query",
    [
        b"api_key=" + KEY,
        b"api-key=" + KEY,
        b"apikey=" + KEY,
        b"x-api-key=" + KEY,
        b"access_token=" + KEY,
        b"API_KEY=x",
        b"api%5Fkey=x",
        b"a=1&api_key",
        b"api_key=",
        b"access%5ftoken=%ff",
    ],
    ids=repr,
)
async def test_a_key_in_the_query_is_refused_even_beside_a_good_one(query: bytes) -> None:
    for headers in ([], BEARER):
        answer, calls, lookups = await ask(headers, query=query)
        assert (answer.status, answer.error["code"], calls, lookups) == (401, "invalid_api_key", 0, 0)
        assert "must not be part of a URL" in answer.error["message"]


@pytest.mark.parametrize("query", [b"api-version=2024-10-21", b"key=v", b"&&=&\xff;api_key=x", b"q=api_key"], ids=repr)
async def test_another_query_is_the_apps_own(query: bytes) -> None:
    answer, calls, _ = await ask(BEARER, query=query)
    assert (answer.status, calls) == (200, 1)
