"""The operator's pages, as text. tests/browser sees them as people do."""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlencode

import pytest
from jinja2 import Environment, nodes

from tests.admin.stand import HOST, SAME_ORIGIN, Stand, bearer
from tests.asgi_client import Answer, Exchange, Headers, body_messages, http_scope, request
from xrouter_asgi.admin import AdminApp, ThisProcess
from xrouter_asgi.admin.pages.texts import TEXTS
from xrouter_asgi.context import Principal, RequestContext
from xrouter_asgi.events import CircuitOpened, CooldownStarted
from xrouter_asgi.settings import Settings, SettingsError, base

HTML = (b"accept", b"text/html,application/xhtml+xml")
FORM = (b"content-type", b"application/x-www-form-urlencoded")
TEMPLATES = Path(str(files("xrouter_asgi.admin").joinpath("templates")))


async def seen(stand: Stand, path: str, *, secret: str | None = None, headers: Headers = ()) -> Answer:
    """A page, as a browser gets it whose operator has signed in."""
    cookie, _ = await stand.sign_in(secret)
    return await stand.ask("GET", path, headers=[HTML, SAME_ORIGIN, (b"cookie", cookie.encode()), *headers])


async def page(stand: Stand, path: str, *, secret: str | None = None, headers: Headers = ()) -> str:
    answer = await seen(stand, path, secret=secret, headers=headers)
    assert answer.status == 200, answer.body
    assert answer.header("content-type") == "text/html; charset=utf-8"
    return answer.body.decode()


async def sent(stand: Stand, path: str, *, secret: str | None = None, **fields: str) -> Answer:
    """A form, as a browser sends it."""
    cookie, _ = await stand.sign_in(secret)
    headers = [HOST, HTML, SAME_ORIGIN, FORM, (b"cookie", cookie.encode())]
    return await request(stand.app, "POST", path, body=urlencode(fields).encode(), headers=headers)


class Links(HTMLParser):
    """Where a page leads to, and what in it would be refused by its policy."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.inline: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.links += [value for name in ("href", "src", "action") if (value := given.get(name)) is not None]
        self.inline += [name for name in given if name == "style" or name.startswith("on")]
        if tag == "style" or (tag == "script" and "src" not in given):
            self.inline.append(tag)


def test_both_languages_have_the_same_texts() -> None:
    assert TEXTS["en"].keys() == TEXTS["ru"].keys()
    for name, english in TEXTS["en"].items():
        values = [sorted(re.findall(r"{\w+}", text)) for text in (english, TEXTS["ru"][name])]
        assert values[0] == values[1], name


def test_every_text_is_used_and_every_used_one_is_there() -> None:
    used, begun = set[str](), set[str]()
    for file in TEMPLATES.rglob("*.html"):
        for call in Environment(autoescape=True).parse(file.read_text("utf-8")).find_all(nodes.Call):
            if isinstance(call.node, nodes.Name) and call.node.name == "t":
                name = call.args[0]
                if isinstance(name, nodes.Const):
                    used.add(name.value)
                elif isinstance(name, nodes.Concat):
                    begun.add(name.nodes[0].as_const())
    source = "".join(file.read_text("utf-8") for file in (TEMPLATES.parent / "pages").glob("*.py"))
    named = set(re.findall(r'"(\w+)"', source.replace((TEMPLATES.parent / "pages/texts.py").read_text("utf-8"), "")))
    known = TEXTS["en"].keys()
    assert used <= known
    assert {name for name in known - used - named if not name.startswith((*begun, "unit_"))} == set()


async def test_now_says_that_all_is_well_and_shows_what_was_asked(stand: Stand) -> None:
    await stand.chat(x_request_id="req_1")
    text = await page(stand, "/")
    assert "All is well" in text
    assert 'href="./requests/req_1"' in text
    assert "echo/a" in text


async def test_now_says_what_is_worst_and_since_when(stand: Stand) -> None:
    stand.live(CooldownStarted(RequestContext(), "echo", "rate", 5, "echo/a"))
    stand.live(CircuitOpened(RequestContext(), "other", 5, "other/b"))
    text = await page(stand, "/")
    assert re.search(r"<h1[^>]*>other/b fails, and its circuit is open since <time", text)
    assert 'action="./circuits/other/b/close"' in text
    assert 'action="./circuits/other/b/close"' not in await page(stand, "/", secret=stand.reader.secret)


async def test_an_operator_lets_an_upstream_be_tried_at_once(stand: Stand) -> None:
    stand.live(CircuitOpened(RequestContext(), "other", 5, "other/b"))
    answer = await sent(stand, "/circuits/other/b/close")
    assert (answer.status, answer.header("location")) == (303, "../../../")
    assert "All is well" in await page(stand, "/")


async def test_requests_are_filtered_and_paged_by_links(stand: Stand) -> None:
    for number in range(51):
        await stand.chat(x_request_id=f"req_{number}")
    await stand.chat("p-parrot", x_request_id="req_parrot")
    text = await page(stand, "/requests?model=m&owner=")
    assert "req_parrot" not in text
    assert "req_50" in text
    found = re.search(r'href="./(requests\?[^"]*before=[^"]+)"', text)
    assert found is not None
    text = await page(stand, "/" + found[1].replace("&amp;", "&"))
    assert "req_0" in text
    assert "req_50" not in text


async def test_a_filter_that_cannot_be_used_is_told_on_the_page(stand: Stand) -> None:
    answer = await seen(stand, "/requests?status=abc")
    assert answer.status == 400
    assert "&#39;status&#39; cannot be used" in answer.body.decode()


async def test_a_request_is_shown_with_its_attempts(stand: Stand) -> None:
    await stand.chat(x_request_id="req_1")
    text = await page(stand, "/requests/req_1")
    assert '<rect class="coming"' in text
    assert "echo/a" in text
    assert "in_order" in text


async def test_names_of_others_stay_texts(stand: Stand) -> None:
    await stand.chat("<script>alert(1)</script>", x_request_id="req_1")
    for path in ("/", "/requests", "/requests/req_1"):
        text = await page(stand, path)
        assert "<script>alert" not in text
        assert "&lt;script&gt;alert" in text


@pytest.mark.parametrize(
    "path", ["/", "/requests", "/requests/req_1", "/nowhere", "/models?model=m", "/keys", "/keys/new", "/settings"]
)
async def test_no_page_has_anything_inline(stand: Stand, path: str) -> None:
    await stand.chat(x_request_id="req_1")
    links = Links()
    links.feed((await seen(stand, path)).body.decode())
    assert links.inline == []
    assert [link for link in links.links if not link.startswith((".", "#"))] == []


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("ru", "ru"),
        ("ru-RU,ru;q=0.9,en;q=0.8", "ru"),
        ("en, ru;q=0.5", "en"),
        ("de, ru;q=0.5", "ru"),
        ("ru;q=0", "en"),
        ("ru;q=x, *", "en"),
        ("", "en"),
    ],
)
async def test_the_reader_chooses_the_language(stand: Stand, accepted: str, language: str) -> None:
    text = await page(stand, "/", headers=[(b"accept-language", accepted.encode())])
    assert f'<html lang="{language}">' in text
    assert ("Всё в порядке" in text) == (language == "ru")


async def test_a_part_is_what_may_have_changed_and_nothing_around_it(stand: Stand) -> None:
    text = await page(stand, "/?part=live")
    assert "<html" not in text
    assert 'id="latest" data-live' in text
    assert (await seen(stand, "/nowhere?part=live")).status == 404


async def test_who_has_not_signed_in_is_asked_for_a_key(stand: Stand) -> None:
    answer = await stand.ask("GET", "/requests?model=a%20b", headers=[HTML])
    assert answer.status == 401
    text = answer.body.decode()
    assert 'action="./session"' in text
    assert 'name="to" value="requests?model=a%20b"' in text
    assert "refresh" not in text


async def test_who_follows_a_link_from_elsewhere_is_let_ask_again_with_the_cookie(stand: Stand) -> None:
    """Browsers leave it out when another site has led there, and send it when our own page does."""
    answer = await stand.ask("GET", "/requests", headers=[HTML, (b"sec-fetch-site", b"cross-site")])
    assert answer.status == 401
    assert '<meta http-equiv="refresh" content="0">' in answer.body.decode()


@pytest.mark.parametrize(
    ("to", "location"),
    [
        ("requests?model=a%20b", "./requests?model=a%20b"),
        ("//evil.example", "./"),
        ("https://evil.example", "./"),
        ("/evil", "./"),
        ("..//evil.example", "./"),
        ("a\r\nset-cookie: b", "./"),
    ],
)
async def test_signing_in_leads_to_the_page_that_was_asked_for_and_nowhere_else(
    stand: Stand, to: str, location: str
) -> None:
    body = urlencode({"key": stand.admin.secret, "to": to}).encode()
    answer = await request(stand.app, "POST", "/session", body=body, headers=[HOST, SAME_ORIGIN, FORM])
    assert (answer.status, answer.header("location")) == (303, location)


async def test_a_wrong_key_is_told_on_the_page(stand: Stand) -> None:
    body = urlencode({"key": stand.ordinary.secret}).encode()
    answer = await request(stand.app, "POST", "/session", body=body, headers=[HOST, HTML, SAME_ORIGIN, FORM])
    assert answer.status == 403
    assert "This is no admin key" in answer.body.decode()
    assert stand.ordinary.secret not in answer.body.decode()


async def test_signing_out_by_a_form_leads_to_the_first_page(stand: Stand) -> None:
    answer = await sent(stand, "/session/end")
    assert (answer.status, answer.header("location")) == (303, "../")


async def test_a_browser_is_told_errors_by_a_page_and_a_program_by_the_envelope(stand: Stand) -> None:
    assert "<h1>404 Not Found</h1>" in (await seen(stand, "/nowhere")).body.decode()
    assert "Unknown request URL" in (await stand.ask("GET", "/nowhere")).error["message"]
    refused = await sent(stand, "/circuits/echo/a/close", secret=stand.reader.secret)
    assert "<h1>403 Forbidden</h1>" in refused.body.decode()


async def test_an_old_browser_proves_with_the_token_of_the_form_that_it_is_ours(stand: Stand) -> None:
    stand.live(CircuitOpened(RequestContext(), "other", 5, "other/b"))
    cookie, token = await stand.sign_in()
    headers = [HOST, HTML, FORM, (b"cookie", cookie.encode()), (b"origin", b"https://gateway.example")]
    for given, status in (("guess", 403), (token, 303)):
        body = urlencode({"token": given}).encode()
        answer = await request(stand.app, "POST", "/circuits/other/b/close", body=body, headers=headers)
        assert answer.status == status


@pytest.mark.parametrize(
    ("path", "root"),
    [
        ("/", "./"),
        ("/requests", "./"),
        ("/requests/", "../"),
        ("/requests/req_1", "../"),
        ("/gw", "./gw/"),
        ("/gw/", "./"),
    ],
)
async def test_links_are_right_wherever_the_app_is_mounted(stand: Stand, path: str, root: str) -> None:
    await stand.chat(x_request_id="req_1")
    mounted = "/gw" if path.startswith("/gw") else ""
    scope = http_scope("GET", path, headers=[HOST, HTML, bearer(stand.admin.secret)], root_path=mounted)
    answer = await Exchange(stand.app, scope, script=body_messages()).run()
    assert f'href="{root}static/page.css"' in answer.body.decode()


@pytest.mark.parametrize("name", ["page.css", "page.js", "mark.svg", "uplot.js", "uplot.css"])
async def test_everybody_may_have_what_pages_are_made_with(stand: Stand, name: str) -> None:
    answer = await stand.ask("GET", f"/static/{name}", headers=[HTML])
    assert answer.status == 200
    assert answer.header("cache-control") == "no-cache"
    tag = answer.header("etag") or ""
    again = await stand.ask("GET", f"/static/{name}", headers=[(b"if-none-match", tag.encode())])
    assert (again.status, again.body) == (304, b"")


async def test_a_host_with_users_of_its_own_has_no_sign_in(stand: Stand) -> None:
    here = ThisProcess(stand.router, stand.live)
    stand.app = AdminApp(here, identify=lambda scope: Principal("ann", scopes=frozenset({"admin"})))
    answer = await stand.ask("GET", "/", headers=[HTML])
    assert answer.status == 200
    text = answer.body.decode()
    assert "You are ann." in text
    assert "session/end" not in text
    stand.app = AdminApp(here, identify=lambda scope: None)
    answer = await stand.ask("GET", "/", headers=[HTML])
    assert (answer.status, "<h1>401 Unauthorized</h1>" in answer.body.decode()) == (401, True)


def test_without_its_extra_the_app_says_what_to_install(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xrouter_asgi.admin.pages", None)
    with pytest.raises(ImportError, match=r'pip install "xrouter-asgi\[admin\]"'):
        AdminApp(ThisProcess(stand.router, stand.live), keys=stand.registry)


def test_without_its_extra_the_table_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "find_spec", lambda name: None)
    document = {"providers": {"echo": {"kind": "echo"}}, "keys": {"url": "sqlite:///a.db"}, "admin": {}}
    with pytest.raises(
        SettingsError, match=r'admin needs more than is installed. Run: pip install "xrouter-asgi\[admin\]"'
    ):
        Settings.parse(document)
