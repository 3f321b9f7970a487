from __future__ import annotations

import asyncio
from collections.abc import Sequence
from urllib.parse import urlencode

import pytest

from tests.admin.stand import HOST, SAME_ORIGIN, Stand, bearer
from tests.asgi_client import Exchange, body_messages, get, http_scope, request
from xrouter_asgi.admin import AdminApp, ThisProcess
from xrouter_asgi.admin.sessions import IDLE, LIFETIME, Sessions
from xrouter_asgi.keys import APIKey, MemoryKeyStore
from xrouter_asgi.testing.clock import Clock

FORM = (b"content-type", b"application/x-www-form-urlencoded")


def test_a_session_ends_after_eight_hours_however_busy_it_is() -> None:
    clock = Clock(0)
    sessions = Sessions(clock=clock)
    held = sessions.begin("key_1")
    while clock() < LIFETIME - IDLE / 2:
        assert sessions.find(held) is not None
        clock.advance(IDLE / 2)
    clock.advance(IDLE / 2)
    assert sessions.find(held) is None


def test_a_session_ends_after_an_hour_without_a_request() -> None:
    clock = Clock(0)
    sessions = Sessions(clock=clock)
    held = sessions.begin("key_1")
    clock.advance(IDLE)
    assert sessions.find(held) is None


class Slow(MemoryKeyStore):
    """Answers when it may, or is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.may_answer, self.closed = asyncio.Event(), asyncio.Event(), False

    async def find(self, digests: Sequence[bytes], /) -> APIKey | None:
        self.asked.set()
        await self.may_answer.wait()
        return await super().find(digests)

    async def aclose(self) -> None:
        self.closed = True


async def test_closing_the_app_waits_for_lookups_of_keys_and_leaves_their_store_open(stand: Stand) -> None:
    registry = Slow()
    app = AdminApp(ThisProcess(stand.router, stand.live), keys=registry)
    asking = asyncio.create_task(get(app, "/api/overview", headers=[bearer(stand.admin.secret)]))
    await registry.asked.wait()
    closing = asyncio.create_task(app.aclose())
    for _ in range(5):  # enough for one that waits for nothing
        await asyncio.sleep(0)
    assert not closing.done()
    registry.may_answer.set()
    await closing
    assert (await asking).status == 401
    assert not registry.closed


def test_of_what_a_browser_holds_only_a_digest_is_kept() -> None:
    sessions = Sessions()
    held = sessions.begin("key_1")
    assert held not in repr(vars(sessions))


async def test_signing_out_ends_the_session_here(stand: Stand) -> None:
    cookie, _ = await stand.sign_in()
    headers = [(b"cookie", cookie.encode()), SAME_ORIGIN]
    answer = await stand.ask("POST", "/session/end", headers=headers)
    assert "Max-Age=0" in (answer.header("set-cookie") or "")
    assert (await stand.ask("GET", "/api/overview", headers=headers)).status == 401


async def test_a_session_has_the_rights_of_its_key(stand: Stand) -> None:
    cookie, _ = await stand.sign_in(stand.reader.secret)
    headers = [(b"cookie", cookie.encode()), SAME_ORIGIN]
    assert (await stand.ask("GET", "/api/overview", headers=headers)).status == 200
    assert (await stand.ask("POST", "/api/keys", headers=headers)).status == 403


@pytest.mark.parametrize("secret", ["ordinary", "wrong"])
async def test_only_an_admin_key_begins_a_session(stand: Stand, secret: str) -> None:
    shown = stand.ordinary.secret if secret == "ordinary" else "xr_admin_guess"
    answer = await stand.ask("POST", "/session", {"key": shown}, headers=[SAME_ORIGIN])
    assert answer.status == (403 if secret == "ordinary" else 401)
    assert answer.header("set-cookie") is None


async def test_a_page_of_another_site_begins_no_session(stand: Stand) -> None:
    for headers in ([(b"sec-fetch-site", b"cross-site")], [(b"origin", b"https://evil.example")]):
        assert (await stand.ask("POST", "/session", {"key": stand.admin.secret}, headers=headers)).status == 403


async def test_a_form_leads_to_the_first_page(stand: Stand) -> None:
    body = urlencode({"key": f" {stand.admin.secret}\n"}).encode()
    answer = await request(stand.app, "POST", "/session", body=body, headers=[HOST, SAME_ORIGIN, FORM])
    assert (answer.status, answer.header("location")) == (303, "./")
    cookie = answer.header("set-cookie") or ""
    assert cookie.startswith("__Host-xrouter=")
    assert cookie.endswith("; Path=/; Max-Age=28800; HttpOnly; Secure; SameSite=Strict")


async def test_below_a_mount_the_cookie_is_for_the_mount(stand: Stand) -> None:
    scope = http_scope("POST", "/a/b/session", headers=[HOST, SAME_ORIGIN, FORM], root_path="/a/b")
    body = urlencode({"key": stand.admin.secret}).encode()
    answer = await Exchange(stand.app, scope, script=body_messages(body)).run()
    assert answer.header("location") == "./"
    cookie = answer.header("set-cookie") or ""
    assert cookie.startswith("xrouter=")
    assert "; Path=/a/b;" in cookie
    held = (b"cookie", cookie.partition(";")[0].encode())
    scope = http_scope("GET", "/a/b/api/overview", headers=[held], root_path="/a/b")
    assert (await Exchange(stand.app, scope, script=body_messages()).run()).status == 200


async def test_a_cookie_that_came_twice_is_none(stand: Stand) -> None:
    """A neighbour below the same name may have set the other one."""
    cookie, _ = await stand.sign_in()
    headers = [(b"cookie", f"{cookie}; {cookie.partition('=')[0]}=other".encode())]
    assert (await stand.ask("GET", "/api/overview", headers=headers)).status == 401


@pytest.mark.parametrize("body", [b"{}", b"", b"[", b'{"key": 1}', b'{"key": "a", "more": 1}'])
async def test_a_body_without_one_key_is_told_so(stand: Stand, body: bytes) -> None:
    answer = await request(stand.app, "POST", "/session", body=body, headers=[HOST, SAME_ORIGIN])
    assert (answer.status, answer.error["param"]) == (400, "key")


@pytest.mark.parametrize("body", [b"", b"key=a&key=b", b"other=a"])
async def test_a_form_without_one_key_is_told_so(stand: Stand, body: bytes) -> None:
    answer = await request(stand.app, "POST", "/session", body=body, headers=[HOST, SAME_ORIGIN, FORM])
    assert answer.status == 400


async def test_a_session_of_a_key_that_is_gone_is_none(stand: Stand) -> None:
    cookie, _ = await stand.sign_in()
    del stand.registry._keys[stand.admin.key.id]
    headers = [(b"cookie", cookie.encode())]
    assert (await stand.ask("GET", "/api/overview", headers=headers)).status == 401
