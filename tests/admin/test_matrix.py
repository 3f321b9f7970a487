"""Who gets what: every endpoint, asked by everybody."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import NamedTuple

import pytest

from tests.admin.stand import HOST, SAME_ORIGIN, Stand, bearer
from tests.asgi_client import Answer, Headers, request
from xrouter_asgi.admin import AdminApp, ThisProcess
from xrouter_asgi.context import Principal
from xrouter_asgi.reloading import Reloaded
from xrouter_asgi.router import LLMRouter

ENDPOINTS = {
    "GET /api/overview": 200,
    "GET /api/requests": 200,
    "GET /api/requests/req_1": 200,
    "GET /api/models": 200,
    "GET /api/providers": 200,
    "POST /api/providers/other/probe": 200,
    "POST /api/circuits/echo/a/close": 200,
    "GET /api/keys": 200,
    "POST /api/keys": 201,
    "GET /api/keys/KEY": 200,
    "POST /api/keys/KEY": 200,
    "POST /api/keys/KEY/rotate": 200,
    "POST /api/keys/KEY/suspend": 200,
    "POST /api/keys/KEY/resume": 200,
    "POST /api/keys/KEY/revoke": 200,
    "GET /api/keys/KEY/audit": 200,
    "GET /api/spend": 200,
    "GET /api/spend.csv": 200,
    "GET /api/budgets": 200,
    "GET /api/settings": 200,
    "POST /api/reload": 200,
    "GET /api/explain?model=m": 200,
    "GET /api/openapi.json": 200,
    "GET /": 200,
    "GET /requests": 200,
    "GET /requests/req_1": 200,
    "POST /circuits/echo/a/close": 303,
    "GET /models": 200,
    "POST /models/providers/other/probe": 200,
    "GET /keys": 200,
    "GET /keys/new": 200,
    "POST /keys/new": 201,
    "GET /keys/KEY": 200,
    "POST /keys/KEY/rotate": 200,
    "POST /keys/KEY/suspend": 303,
    "POST /keys/KEY/resume": 303,
    "GET /keys/KEY/revoke": 200,
    "POST /keys/KEY/revoke": 303,
    "GET /spend": 200,
    "GET /settings": 200,
    "POST /settings/reload": 200,
    "GET /api/nowhere": 404,
    "DELETE /api/overview": 405,
    "POST /session/end": 200,
}
"""What an operator gets. `/api/events`, which does not end, has tests of its own, and is asked here by others only."""


class Asker(NamedTuple):
    """Somebody who asks: how, and what they get where an operator gets something; by default the same."""

    name: str
    headers: Callable[[Stand], Awaitable[Headers]]
    looks: int | None = None
    changes: int | None = None


async def _operator(stand: Stand) -> Headers:
    return [bearer(stand.admin.secret)]


async def _browser(stand: Stand) -> Headers:
    cookie, _ = await stand.sign_in()
    return [(b"cookie", cookie.encode()), SAME_ORIGIN]


async def _old_browser(stand: Stand) -> Headers:
    cookie, token = await stand.sign_in()
    origin = (b"origin", b"https://gateway.example")
    return [(b"cookie", cookie.encode()), origin, (b"x-xrouter-token", token.encode())]


async def _reader(stand: Stand) -> Headers:
    return [bearer(stand.reader.secret)]


async def _ordinary(stand: Stand) -> Headers:
    return [bearer(stand.ordinary.secret)]


async def _nobody(stand: Stand) -> Headers:
    return []


async def _other_site(stand: Stand) -> Headers:
    cookie, _ = await stand.sign_in()
    return [(b"cookie", cookie.encode()), (b"sec-fetch-site", b"cross-site"), (b"origin", b"https://evil.example")]


async def _other_site_with_a_key(stand: Stand) -> Headers:
    return [bearer(stand.admin.secret), (b"origin", b"https://evil.example")]


async def _forged_form(stand: Stand) -> Headers:
    cookie, _ = await stand.sign_in()
    return [(b"cookie", cookie.encode()), (b"origin", b"https://gateway.example"), (b"x-xrouter-token", b"guess")]


async def _without_an_origin(stand: Stand) -> Headers:
    cookie, _ = await stand.sign_in()
    return [(b"cookie", cookie.encode())]


async def _unknown_session(stand: Stand) -> Headers:
    return [(b"cookie", b"__Host-xrouter=" + b"A" * 43), SAME_ORIGIN]


async def _revoked(stand: Stand) -> Headers:
    cookie, _ = await stand.sign_in()
    await stand.issuer.revoke(stand.admin.key.id)
    return [(b"cookie", cookie.encode()), SAME_ORIGIN]


ASKERS = [
    Asker("operator", _operator),
    Asker("browser", _browser),
    Asker("old browser", _old_browser),
    Asker("reader", _reader, changes=403),
    Asker("ordinary key", _ordinary, looks=403, changes=403),
    Asker("nobody", _nobody, looks=401, changes=401),
    Asker("page of another site", _other_site, changes=403),
    Asker("page of another site, with a key", _other_site_with_a_key, changes=403),
    Asker("forged form", _forged_form, changes=403),
    Asker("session without an origin", _without_an_origin, changes=403),
    Asker("unknown session", _unknown_session, looks=401, changes=401),
    Asker("session of a revoked key", _revoked, looks=401, changes=401),
]


def cases() -> Iterator[tuple[str, Asker, int]]:
    for endpoint, status in ENDPOINTS.items():
        for asker in ASKERS:
            other = asker.looks if endpoint.startswith("GET ") else asker.changes
            if asker.name == "reader" and endpoint == "POST /session/end":
                other = None  # whoever may look may also leave
            yield endpoint, asker, status if other is None else other


async def prepared(stand: Stand) -> None:
    """Something to look at, and to change."""
    await stand.chat(x_request_id="req_1")
    stand.reloads.append(Reloaded("1", "0"))


async def asked(stand: Stand, endpoint: str, headers: Headers) -> Answer:
    method, path = endpoint.replace("KEY", stand.ordinary.key.id).split(" ")
    path, _, query = path.partition("?")
    return await request(stand.app, method, path, query=query, headers=[HOST, *headers])


@pytest.mark.parametrize(
    ("endpoint", "asker", "status"), list(cases()), ids=lambda case: getattr(case, "name", str(case))
)
async def test_everybody_gets_what_is_theirs(stand: Stand, endpoint: str, asker: Asker, status: int) -> None:
    await prepared(stand)
    headers = await asker.headers(stand)
    answer = await asked(stand, endpoint, headers)
    assert answer.status == status, answer.body
    if status in (401, 403):
        told = str(answer.error)  # the envelope, and nothing of what is behind it
        assert not any(secret in told for secret in ("req_1", "parrot", stand.ordinary.key.id, "ann"))
    assert answer.header("cache-control") == "no-store"
    assert answer.header("referrer-policy") == "no-referrer"
    assert "frame-ancestors 'none'" in (answer.header("content-security-policy") or "")
    assert answer.header("access-control-allow-origin") is None


@pytest.mark.parametrize("asker", [each for each in ASKERS if each.looks], ids=lambda asker: asker.name)
async def test_strangers_hear_of_no_event(stand: Stand, asker: Asker) -> None:
    answer = await asked(stand, "GET /api/events", await asker.headers(stand))
    assert answer.status == asker.looks


@pytest.mark.parametrize("endpoint", [each for each in ENDPOINTS if "/session" not in each])
async def test_a_principal_of_the_host_without_scopes_is_no_operator(stand: Stand, endpoint: str) -> None:
    """In a router no scopes mean all of them."""
    stand.app = AdminApp(
        ThisProcess(stand.router, stand.live),
        keys=stand.registry,
        reload=stand.reload,
        identify=lambda scope: Principal("ann"),
    )
    assert (await asked(stand, endpoint, [SAME_ORIGIN])).status == 403


async def test_a_principal_of_the_host_with_the_scope_is_an_operator(stand: Stand) -> None:
    async def identify(scope: object) -> Principal:
        return Principal("ann", scopes=frozenset({"admin"}))

    stand.app = AdminApp(ThisProcess(stand.router, stand.live), keys=stand.registry, identify=identify)
    assert (await asked(stand, "GET /api/keys", [])).status == 200
    assert (await asked(stand, "POST /api/keys", [SAME_ORIGIN])).status == 201
    assert (await asked(stand, "POST /api/keys", [(b"origin", b"https://gateway.example")])).status == 201
    assert (await asked(stand, "POST /api/keys", [(b"sec-fetch-site", b"same-site")])).status == 403
    assert (await asked(stand, "POST /api/keys", [])).status == 403
    *_, last = await stand.registry.list()
    (entry,) = await stand.registry.audit(last.id)
    assert entry.by == "ann"


async def test_whom_the_host_does_not_know_is_nobody(stand: Stand) -> None:
    stand.app = AdminApp(ThisProcess(stand.router, stand.live), identify=lambda scope: None)
    assert (await asked(stand, "GET /api/overview", [])).status == 401


async def test_a_host_that_fails_lets_nobody_in(stand: Stand, caplog: pytest.LogCaptureFixture) -> None:
    def identify(scope: object) -> Principal:
        raise RuntimeError("the users are away")

    stand.app = AdminApp(ThisProcess(stand.router, stand.live), identify=identify)
    answer = await asked(stand, "GET /api/overview", [])
    assert answer.status == 500
    assert "users" not in answer.error["message"]
    assert "could not be identified" in caplog.text


async def test_what_is_not_given_is_not_served(stand: Stand) -> None:
    async def identify(scope: object) -> Principal:
        return Principal("ann", scopes=frozenset({"admin"}))

    stand.app = AdminApp(ThisProcess(LLMRouter(stand.router.models), stand.live), identify=identify)
    for endpoint in (
        "GET /api/keys",
        "GET /api/spend",
        "GET /api/budgets",
        "GET /api/settings",
        "POST /api/reload",
        "POST /session",
    ):
        assert (await asked(stand, endpoint, [SAME_ORIGIN])).status == 404
    assert (await asked(stand, "GET /api/overview", [])).json["settings"] is None


def test_an_app_that_nobody_could_enter_is_not_made(stand: Stand) -> None:
    with pytest.raises(ValueError, match="nobody may come in"):
        AdminApp(ThisProcess(stand.router, stand.live))


@pytest.mark.parametrize(
    ("client", "status"),
    [(("10.1.2.3", 1), 200), (("::ffff:10.1.2.3", 1), 200), (("192.0.2.1", 1), 403), (("socket", 1), 403), (None, 403)],
)
async def test_only_peers_of_the_allowed_networks_come_in(
    stand: Stand, client: tuple[str, int] | None, status: int
) -> None:
    app = AdminApp(ThisProcess(stand.router, stand.live), keys=stand.registry, allow=["10.0.0.0/8"])

    async def from_peer(scope: object, receive: object, send: object) -> None:
        await app({**scope, "client": client}, receive, send)  # type: ignore[dict-item, arg-type]

    answer = await request(from_peer, "GET", "/api/overview", headers=[bearer(stand.admin.secret)])
    assert answer.status == status
    shown = b'{"key": "%s"}' % stand.admin.secret.encode()
    assert (await request(from_peer, "POST", "/session", body=shown)).status == status


async def test_keys_cannot_be_guessed_quickly(stand: Stand) -> None:
    statuses = [(await stand.ask("GET", "/api/overview", headers=[bearer(f"guess{n}")])).status for n in range(8)]
    assert statuses[0] == 401
    assert statuses[-1] == 429
