"""The long walk: `xrouter serve` with `[admin]`, and an operator who makes a key, sees it used, and revokes it."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.browser.eyes import Chromium, Eyes
from tests.gateway import serving, xrouter

pytestmark = pytest.mark.asyncio(loop_scope="session")

SETTINGS = """\
[server]
port = 0

[keys]
url = "sqlite:///keys.db"

[admin]
port = {port}

[rate_limit]
limit = "60/minute"

[providers.nobody]
kind = "openai"
base_url = "http://127.0.0.1:9/v1"
api_key = "env:NOBODYS_KEY"

[providers.echo]
kind = "echo"

[models.assistant]
targets = ["nobody/none", "echo/echo"]
"""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


async def ask(url: str, secret: str) -> httpx.Response:
    body: dict[str, Any] = {"model": "assistant", "messages": [{"role": "user", "content": "hello"}]}
    async with httpx.AsyncClient(base_url=url, headers={"authorization": f"Bearer {secret}"}) as client:
        return await client.post("/v1/chat/completions", json=body)


async def test_an_operator_makes_a_key_sees_it_used_and_revokes_it(browser: Chromium, tmp_path: Path) -> None:
    config, port = tmp_path / "xrouter.toml", free_port()
    config.write_text(SETTINGS.format(port=port))
    said = await xrouter(
        "admin", "key", "--config", str(config), "--name", "Ann", "--json", env={"NOBODYS_KEY": "none"}
    )
    admin = json.loads(said)["secret"]
    async with (
        serving(config, {"NOBODYS_KEY": "none"}) as gateway,
        Eyes.open(browser, f"http://127.0.0.1:{port}") as eyes,
    ):
        page = eyes.page
        await eyes.sign_in(admin)
        assert await page.get_by_role("heading", level=1).inner_text() == "All is well"

        await page.get_by_role("link", name="Keys").click()
        await page.get_by_role("link", name="Make a key").click()
        await page.get_by_label("Name", exact=True).fill("walker")
        await page.get_by_label("Owner").fill("bob")
        await page.get_by_role("button", name="Make a key").click()
        secret = await page.locator("#secret").inner_text()

        await page.get_by_role("link", name="Now").click()
        await page.get_by_text("live", exact=True).wait_for()
        await page.evaluate("window.sameDocument = true")
        answer = await ask(gateway.url, secret)
        assert answer.status_code == 200
        row = page.locator("#latest").get_by_role("row").filter(has_text="bob")
        await row.wait_for()
        assert await page.evaluate("window.sameDocument")

        await row.get_by_role("link").first.click()
        await page.locator("#id").wait_for()
        assert await page.locator("#id").inner_text() == answer.headers["x-request-id"]
        attempts = page.get_by_role("region", name="Attempts")
        assert await attempts.locator("rect.failing").count() >= 1
        assert await attempts.locator("rect.coming").count() == 1
        assert "nobody/none" in await attempts.inner_text()

        await page.get_by_role("link", name="Keys").click()
        await page.get_by_role("link", name="walker").click()
        await page.get_by_role("cell", name="1 / 60").wait_for()
        await page.get_by_text("live", exact=True).first.wait_for()
        assert (await ask(gateway.url, secret)).status_code == 200
        await page.get_by_role("cell", name="2 / 60").wait_for()

        await page.get_by_role("link", name="Revoke").click()
        await page.get_by_label("Reason").fill("the walk is over")
        await page.get_by_role("button", name="Revoke").click()
        await page.get_by_role("cell", name="the walk is over").wait_for()
        assert (await ask(gateway.url, secret)).status_code == 401

        await page.get_by_role("button", name="Sign out").click()
        await page.get_by_label("Admin key").wait_for()
        assert [each for each in eyes.complaints if "401" not in each] == []
