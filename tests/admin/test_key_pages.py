"""Keys by links and forms: make, rotate, suspend, revoke, and look at their history."""

from __future__ import annotations

import re

import pytest

from tests.admin.stand import Stand
from tests.admin.test_pages import page, seen, sent


def secret_in(text: str) -> str:
    found = re.search(r'<code class="secret" id="secret">(xr_\w+)</code>', text)
    assert found is not None, text
    return found[1]


async def test_keys_are_listed_and_filtered(stand: Stand) -> None:
    text = await page(stand, "/keys")
    assert "&lt;b&gt;ann&lt;/b&gt;" in text
    assert stand.reader.key.id in text
    text = await page(stand, "/keys?owner=ann&name=")
    assert stand.ordinary.key.id in text
    assert stand.reader.key.id not in text


async def test_more_keys_than_a_page_has_follow_by_a_link(stand: Stand) -> None:
    text = await page(stand, "/keys?limit=2")
    found = re.search(r'href="./(keys\?[^"]*)" rel="next"', text)
    assert found is not None
    text = await page(stand, "/" + found[1].replace("&amp;", "&"))
    assert stand.ordinary.key.id in text
    assert stand.reader.key.id not in text


async def test_a_key_is_made_and_its_secret_shown_once(stand: Stand) -> None:
    fields = {"name": "new", "owner": "bob", "models": "m, p-*", "limits": "60/minute\n5 parallel", "groups": "a b"}
    answer = await sent(stand, "/keys/new", **fields, scopes="chat", kind="test", expires="2999-12-31")
    assert answer.status == 201
    assert secret_in(answer.body.decode()).startswith("xr_test_")
    *_, key = await stand.registry.list()
    assert (key.name, key.owner, key.kind, key.models) == ("new", "bob", "test", ("m", "p-*"))
    assert (key.limits, key.groups, key.scopes) == (("60/minute", "5 parallel"), ("a", "b"), frozenset({"chat"}))
    assert str(key.expires_at) == "3000-01-01 00:00:00+00:00"
    (entry,) = await stand.registry.audit(key.id)
    assert entry.by == stand.admin.key.id
    assert "xr_test_" not in await page(stand, f"/keys/{key.id}")


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"limits": "a lot"}, "a lot"),
        ({"expires": "tomorrow"}, "&#39;expires&#39; is no day"),
        ({"expires": "2020-01-01"}, "which is past"),
        ({"kind": "gold"}, "&#39;kind&#39; cannot be used"),
        ({"models": "a**"}, "no pattern with one"),
    ],
)
async def test_a_key_that_cannot_be_is_told_beside_what_was_written(
    stand: Stand, fields: dict[str, str], told: str
) -> None:
    answer = await sent(stand, "/keys/new", name="new & old", **fields)
    assert answer.status == 400
    text = answer.body.decode()
    assert told in text
    assert 'name="name" value="new &amp; old"' in text


async def test_a_key_is_shown_with_its_history_the_latest_first(stand: Stand) -> None:
    id = stand.ordinary.key.id
    await stand.issuer.suspend(id, reason="a <loop>")
    text = await page(stand, f"/keys/{id}")
    assert text.index("<td>suspended</td>") < text.index("<td>made</td>")
    assert "a &lt;loop&gt;" in text
    assert f'action="../keys/{id}/resume"' in text
    assert f'href="../requests?key={id}"' in text


@pytest.mark.parametrize(("overlap", "hours"), [("0", 0), ("24", 24), ("", 24)])
async def test_a_key_is_rotated_with_an_overlap(stand: Stand, overlap: str, hours: int) -> None:
    id = stand.ordinary.key.id
    answer = await sent(stand, f"/keys/{id}/rotate", overlap=overlap, reason="every quarter")
    assert answer.status == 200
    assert secret_in(answer.body.decode()) != stand.ordinary.secret
    *_, entry = await stand.registry.audit(id)
    assert (entry.action, entry.reason) == ("rotate", "every quarter")
    until = str(entry.after["overlap_until"])
    assert (until[:13] == entry.at.isoformat()[:13]) == (hours == 0)


async def test_an_overlap_that_is_no_number_is_told_so(stand: Stand) -> None:
    assert (await sent(stand, f"/keys/{stand.ordinary.key.id}/rotate", overlap="long")).status == 400


async def test_revoking_asks_first_and_then_ends_the_key(stand: Stand) -> None:
    id = stand.ordinary.key.id
    text = await page(stand, f"/keys/{id}/revoke")
    assert "everywhere and for good" in text
    assert not (await stand.registry.get(id)).revoked
    answer = await sent(stand, f"/keys/{id}/revoke", reason="stolen")
    assert (answer.status, answer.header("location")) == (303, f"../../keys/{id}")
    assert (await stand.registry.get(id)).revoked
    assert "/rotate" not in await page(stand, f"/keys/{id}")


async def test_a_key_is_suspended_and_resumed(stand: Stand) -> None:
    id = stand.ordinary.key.id
    assert (await sent(stand, f"/keys/{id}/suspend")).status == 303
    assert (await stand.registry.get(id)).suspended
    assert (await sent(stand, f"/keys/{id}/resume")).status == 303
    assert not (await stand.registry.get(id)).suspended


async def test_who_may_only_look_is_offered_no_change(stand: Stand) -> None:
    secret = stand.reader.secret
    assert "keys/new" not in await page(stand, "/keys", secret=secret)
    assert "/revoke" not in await page(stand, f"/keys/{stand.ordinary.key.id}", secret=secret)
    assert (await sent(stand, "/keys/new", secret=secret)).status == 403


async def test_a_key_that_is_not_there_is_a_404(stand: Stand) -> None:
    assert (await seen(stand, "/keys/key_nothere")).status == 404
