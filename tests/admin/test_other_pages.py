"""Models and Settings, as text."""

from __future__ import annotations

from tests.admin.stand import SETTINGS, Stand
from tests.admin.test_pages import page, seen, sent
from xrouter_asgi.admin.pages.charts import Bar, bar, line
from xrouter_asgi.admin.pages.settings import rows
from xrouter_asgi.reloading import Reloaded


async def test_models_are_shown_with_their_targets_and_what_became_of_them(stand: Stand) -> None:
    await stand.chat("m")
    text = await page(stand, "/models")
    assert text.index("echo/a") < text.index("other/b")
    assert 'href="./requests?model=p-%2A"' in text
    assert "<html" not in await page(stand, "/models?part=live")


async def test_a_form_explains_where_a_request_would_go(stand: Stand) -> None:
    text = await page(stand, "/models?model=m&tokens=100&tools=true")
    assert "A request for m would go to these, in this order. Strategy in_order." in text
    assert (await stand.ask("GET", "/api/explain?model=m")).json["candidates"][0]["target"] == "echo/a"


async def test_a_model_that_nobody_serves_is_told_beside_the_form(stand: Stand) -> None:
    answer = await seen(stand, "/models?model=%3Cscript%3E")
    assert answer.status == 404
    text = answer.body.decode()
    assert "serves this model" in text
    assert 'value="&lt;script&gt;"' in text


async def test_a_provider_is_asked_for_its_models(stand: Stand) -> None:
    answer = await sent(stand, "/models/providers/other/probe")
    assert answer.status == 200
    assert "other lists 2 models" in answer.body.decode()


async def test_settings_are_shown_with_their_source_and_version(stand: Stand) -> None:
    text = await page(stand, "/settings")
    assert SETTINGS.version in text
    assert "[providers]" in text
    assert "other.models" in text


async def test_a_reload_says_what_came_of_it(stand: Stand) -> None:
    stand.reloads = [
        Reloaded("2", "1", restart=["server"]),
        Reloaded("1", "1"),
        Reloaded("1", "1", problems=["<b> is wrong."]),
    ]
    for told in ("&lt;b&gt; is wrong.", "Nothing has changed", "Version 2 is in force, in place of 1."):
        answer = await sent(stand, "/settings/reload")
        assert (answer.status, told in answer.body.decode()) == (200, True)


def test_settings_are_told_one_by_one() -> None:
    table = {"a": {"b": True, "c": None}, "d": [{"e": "x"}], "f": ["y", 1]}
    assert list(rows(table)) == [("a.b", "true"), ("d[0].e", '"x"'), ("f", '["y", 1]')]


def test_a_line_has_gaps_where_nothing_is_known() -> None:
    assert line([0, None, 2, 1]) == "M0 100h1M667 0L1000 50"
    assert line([0, 0]) == "M0 100L1000 100"
    assert line([]) == ""


def test_a_bar_can_be_seen_however_short_it_is() -> None:
    assert bar(0, 1, 2) == Bar(0, 500)
    assert bar(2, 2, 2) == Bar(996, 4)
    assert bar(0, 0, 0) == Bar(0, 1000)
