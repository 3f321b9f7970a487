"""The pages of an hour at a gateway, as a browser shows them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from tests.browser.eyes import Chromium, Eyes
from tests.browser.scene import Scene
from tests.serving import uvicorn_here
from xrouter_asgi.asgi.mounts import below
from xrouter_asgi.context import RequestContext
from xrouter_asgi.events import CircuitOpened
from xrouter_asgi.landing import Landing

pytestmark = pytest.mark.asyncio(loop_scope="session")

AXE = Path(__file__).parent / "node_modules/axe-core/axe.min.js"


async def violations(eyes: Eyes) -> Sequence[str]:
    """What axe-core finds on the page that is serious."""
    assert AXE.exists(), "Run `npm ci --prefix tests/browser`, or `tox -e browser`, which does."
    await eyes.page.evaluate(AXE.read_text("utf-8"))
    found: dict[str, Any] = await eyes.page.evaluate("axe.run()")
    return [
        f"{each['id']}: {node['html']} {json.dumps(node['any'], default=str)[:300]}"
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 1280), ("light", 360)])
async def test_axe_finds_nothing_serious_on_any_page(browser: Chromium, scene: Scene, theme: str, width: int) -> None:
    size = {"width": width, "height": 800}
    async with uvicorn_here(scene.app) as url, Eyes.open(browser, url, color_scheme=theme, viewport=size) as eyes:
        await eyes.look("/")
        found = {"sign in": await violations(eyes)}
        await eyes.sign_in(scene.operator.secret)
        for name, path in scene.pages.items():
            await eyes.look(path)
            found[name] = await violations(eyes)
        assert {name: told for name, told in found.items() if told} == {}


@pytest.mark.parametrize("language", ["en", "ru"])
async def test_no_page_is_wider_than_a_small_telephone(browser: Chromium, scene: Scene, language: str) -> None:
    size = {"width": 360, "height": 800}
    async with uvicorn_here(scene.app) as url, Eyes.open(browser, url, viewport=size, locale=language) as eyes:
        await eyes.sign_in(scene.operator.secret)
        for path in scene.pages.values():
            await eyes.look(path)
            assert await eyes.page.evaluate("document.documentElement.scrollWidth") == 360, path
            assert await eyes.page.evaluate("document.documentElement.lang") == language


async def test_every_page_works_without_script(browser: Chromium, scene: Scene) -> None:
    async with uvicorn_here(scene.app) as url, Eyes.open(browser, url, java_script_enabled=False) as eyes:
        page = eyes.page
        await eyes.sign_in(scene.operator.secret, "/requests?model=fast")
        assert await page.locator("input[name=model]").input_value() == "fast"
        await page.get_by_role("link", name="Clear").click()
        await page.locator("select[name=status]").select_option("5xx")
        await page.get_by_role("button", name="Show").click()
        await page.locator("tbody tr").first.get_by_role("link").first.click()
        assert await page.locator("rect.failing").count() > 0
        await page.get_by_role("link", name="Models").click()
        await page.get_by_label("Model", exact=True).fill("assistant")
        await page.get_by_role("button", name="Explain").click()
        assert "A request for assistant would go to these" in await eyes.text()
        await page.get_by_role("button", name="Ask for its models").first.click()
        assert "gigachat lists 2 models" in await eyes.text()
        await page.get_by_role("link", name="Settings").click()
        await page.get_by_role("button", name="Read it again").click()
        assert "stay in force" in await eyes.text()
        await page.get_by_role("link", name="Keys").click()
        await page.get_by_role("link", name="search").click()
        await page.get_by_role("button", name="Rotate").click()
        assert (await page.locator("#secret").inner_text()).startswith("xr_live_")
        await page.get_by_role("button", name="Sign out").click()
        assert await page.get_by_label("Admin key").is_visible()


async def test_a_name_that_is_a_script_stays_a_text(eyes: Eyes, scene: Scene) -> None:
    name = "<script>window.pwned = 1</script><img src=x onerror='window.pwned = 1'>"
    id = scene.hear_of(name)
    for path in ("/", "/requests", f"/requests/{id}"):
        await eyes.look(path)
        assert "<script>window.pwned" in await eyes.text()
        assert await eyes.page.evaluate("window.pwned") is None


async def test_no_script_reads_the_cookie(eyes: Eyes) -> None:
    (cookie,) = await eyes.context.cookies()
    assert (cookie["name"], cookie["httpOnly"], cookie["secure"]) == ("__Host-xrouter", True, True)
    assert cookie["sameSite"] == "Strict"
    assert await eyes.page.evaluate("document.cookie") == ""


async def test_a_problem_shows_up_by_itself_and_what_is_the_same_stays_where_it_is(eyes: Eyes, scene: Scene) -> None:
    await eyes.look("/")
    await eyes.page.get_by_text("live", exact=True).wait_for()
    await eyes.page.evaluate("window.strip = document.querySelector('.strip li')")
    scene.live(CircuitOpened(RequestContext(), "openai", 30, "openai/gpt-5-mini"))
    await eyes.page.get_by_role("heading", name="openai/gpt-5-mini fails").wait_for()
    assert await eyes.page.evaluate("window.strip.isConnected")


async def test_the_last_hour_is_drawn_and_can_be_read(eyes: Eyes) -> None:
    await eyes.look("/")
    await eyes.page.locator("#hour canvas").wait_for()
    await eyes.page.locator("#hour .u-over").hover()
    assert "Answered" in await eyes.page.locator(".u-legend").inner_text()
    await eyes.page.get_by_text("The numbers").click()
    assert await eyes.page.locator("#minutes tbody tr").count() == 60


async def test_times_are_those_of_the_reader(browser: Chromium, scene: Scene) -> None:
    async with uvicorn_here(scene.app) as url, Eyes.open(browser, url, timezone_id="Asia/Tokyo") as eyes:
        await eyes.sign_in(scene.operator.secret, "/requests")
        written, shown = await eyes.page.evaluate(
            "(each => [each.dateTime, each.textContent])(document.querySelector('tbody time'))"
        )
        assert int(shown[:2]) == (int(written[11:13]) + 9) % 24
        assert "GMT+9" in await eyes.page.locator("thead").inner_text()


async def test_an_id_is_copied(eyes: Eyes, scene: Scene) -> None:
    await eyes.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await eyes.look(f"/keys/{scene.keys[0].id}")
    await eyes.page.get_by_role("button", name="Copy").click()
    await eyes.page.get_by_role("button", name="Copied").wait_for()
    assert await eyes.page.evaluate("navigator.clipboard.readText()") == scene.keys[0].id


async def test_the_first_key_that_is_pressed_leads_past_the_menu(eyes: Eyes) -> None:
    await eyes.look("/requests")
    await eyes.page.keyboard.press("Tab")
    assert await eyes.page.evaluate("document.activeElement.className") == "skip"
    await eyes.page.keyboard.press("Enter")
    await eyes.page.keyboard.press("Tab")
    assert await eyes.page.evaluate("document.activeElement.name") == "model"


async def test_a_link_from_another_site_leads_to_the_page_and_not_to_the_sign_in(eyes: Eyes) -> None:
    """The browser leaves out the cookie for the first request, as the link is another site's."""

    async def elsewhere(route: Any) -> None:
        page = f'<a href="{eyes.url}/requests?model=fast">look</a>'
        await route.fulfill(body=page, content_type="text/html")

    await eyes.context.route("http://elsewhere.example/", elsewhere)
    await eyes.page.goto("http://elsewhere.example/")
    await eyes.page.get_by_role("link", name="look").click()
    await eyes.page.get_by_role("heading", name="Requests").wait_for()
    assert await eyes.page.locator("input[name=model]").input_value() == "fast"
    eyes.complaints = [each for each in eyes.complaints if "elsewhere.example" not in each and "401" not in each]


async def test_below_a_path_all_links_and_the_session_work(browser: Chromium, scene: Scene) -> None:
    mounted = below("/gw/admin", scene.app, otherwise=Landing())

    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # uvicorn wants a coroutine function
        await mounted(scope, receive, send)

    async with uvicorn_here(app) as url, Eyes.open(browser, url) as eyes:
        await eyes.sign_in(scene.operator.secret, "/gw/admin")
        for name in ("Requests", "Models", "Keys", "Spend", "Settings", "Now"):
            await eyes.page.get_by_role("navigation").get_by_role("link", name=name).click()
            await eyes.page.locator(f"nav [aria-current]:text-is('{name}')").wait_for()
        await eyes.page.get_by_text("live", exact=True).wait_for()
        assert eyes.complaints == []
