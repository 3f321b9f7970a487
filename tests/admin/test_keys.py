"""Keys by the operator's API: the words and checks of `xrouter keys`."""

from __future__ import annotations

from typing import Any

import pytest

from tests.admin.stand import Stand
from tests.asgi_client import get
from xrouter_asgi.keys import CachedKeys
from xrouter_asgi.middleware.auth import APIKeyMiddleware


async def test_a_key_that_is_made_works_and_its_secret_is_shown_once(stand: Stand) -> None:
    body = {"name": "laptop", "owner": "ann", "scopes": ["models"], "limits": ["60/minute"]}
    made = await stand.ask("POST", "/api/keys", body)
    assert made.status == 201
    secret, id = made.json["secret"], made.json["id"]
    app = APIKeyMiddleware(stand.router, store=CachedKeys(stand.registry))
    headers = [(b"authorization", f"Bearer {secret}".encode())]
    assert (await get(app, "/v1/models", headers=headers)).status == 200
    shown = (await stand.ask("GET", f"/api/keys/{id}")).json
    assert "secret" not in shown
    assert {name: shown[name] for name in body} == body
    await stand.ask("POST", f"/api/keys/{id}/revoke", {"reason": "lost"})
    assert (await get(app, "/v1/models", headers=headers)).status == 401


async def test_a_mistake_in_a_key_is_told_as_on_the_command_line(stand: Stand) -> None:
    for body, told in (
        ({"limits": ["many"]}, "limit"),
        ({"limits": ["20 EUR/day"]}, "Write it in USD"),
        ({"models": ["a*b*"]}, "pattern"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "past"),
        ({"expires_at": "2040-01-01T00:00:00"}, "time zone"),
        ({"kind": "root"}, "kind"),
        ({"colour": "red"}, "colour"),
        ({"name": 1}, "name"),
    ):
        answer = await stand.ask("POST", "/api/keys", body)
        assert answer.status == 400
        assert told in answer.error["message"]


async def test_a_scope_that_opens_nothing_is_warned_of(stand: Stand) -> None:
    warned = (await stand.ask("POST", "/api/keys", {"scopes": ["chatt"]})).json["warnings"]
    assert "'chat'" in warned[0]
    made = await stand.ask("POST", "/api/keys", {"scopes": ["admin:read"], "kind": "admin"})
    assert made.json["warnings"] == []
    assert made.json["secret"].startswith("xr_admin_")


async def test_keys_are_listed_page_by_page_and_by_what_they_have(stand: Stand) -> None:
    page = (await stand.ask("GET", "/api/keys?limit=2")).json
    assert [each["name"] for each in page["keys"]] == ["operator", "reader"]
    rest = (await stand.ask("GET", f"/api/keys?limit=2&after={page['after']}")).json
    assert ([each["name"] for each in rest["keys"]], rest["after"]) == (["<b>ann</b>"], None)
    await stand.issuer.suspend(stand.ordinary.key.id)
    for query, names in (("owner=ann", ["<b>ann</b>"]), ("state=suspended", ["<b>ann</b>"]), ("name=READ", ["reader"])):
        found = (await stand.ask("GET", f"/api/keys?{query}")).json["keys"]
        assert [each["name"] for each in found] == names


async def test_every_change_is_in_the_audit_by_the_operators_id(stand: Stand) -> None:
    path = f"/api/keys/{stand.ordinary.key.id}"
    changes: list[tuple[str, dict[str, Any], str]] = [
        ("", {"owner": "bob", "reason": "moved"}, "update"),
        ("/suspend", {"reason": "odd traffic"}, "suspend"),
        ("/resume", {}, "resume"),
        ("/rotate", {"overlap": 0}, "rotate"),
        ("/revoke", {"reason": "lost"}, "revoke"),
    ]
    for step, body, _ in changes:
        assert (await stand.ask("POST", f"{path}{step}", body)).status == 200
    first, *audit = (await stand.ask("GET", f"{path}/audit")).json["audit"]
    assert first["by"] == "test"
    assert {entry["by"] for entry in audit} == {stand.admin.key.id}
    assert [(entry["action"], entry["reason"]) for entry in audit] == [
        (action, body.get("reason")) for _, body, action in changes
    ]


async def test_a_revoked_key_cannot_be_changed_any_more(stand: Stand) -> None:
    path = f"/api/keys/{stand.ordinary.key.id}"
    await stand.ask("POST", f"{path}/revoke")
    for step in ("", "/rotate", "/suspend", "/resume"):
        answer = await stand.ask("POST", f"{path}{step}", {})
        assert answer.status == 400
        assert "revoked for good" in answer.error["message"]


@pytest.mark.parametrize("step", ["", "/rotate", "/suspend", "/resume", "/revoke", "/audit", "?"])
async def test_a_key_that_is_not_there_is_a_404(stand: Stand, step: str) -> None:
    method = "GET" if step in ("/audit", "?") else "POST"
    assert (await stand.ask(method, f"/api/keys/key_none{step}")).status == 404


async def test_an_admin_key_opens_no_model(stand: Stand) -> None:
    app = APIKeyMiddleware(stand.router, store=CachedKeys(stand.registry))
    for _ in range(2):  # also when it is remembered
        answer = await get(app, "/v1/models", headers=[(b"authorization", f"Bearer {stand.admin.secret}".encode())])
        assert (answer.status, answer.error["code"]) == (403, "permission_denied")
