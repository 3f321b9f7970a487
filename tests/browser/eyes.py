"""Chromium, and somebody who looks through it and hears all that it complains of."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")

Chromium: TypeAlias = Any
"""`playwright.async_api.Browser`. Playwright is only in the tox environment `browser`."""

_PATIENCE = 20_000  # ms: how busy a machine is decides nothing here
_UNKNOWN = "Failed to load resource: the server responded with a status of 401 (Unauthorized)"


@asynccontextmanager
async def chromium() -> AsyncIterator[Chromium]:
    """Debian's Chromium. Without its sandbox, which needs a user that containers do not have."""
    from playwright.async_api import async_playwright  # here, because it is seldom installed

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            await browser.close()


class Eyes:
    """Looks at pages of a gateway. Make it with `Eyes.open`.

    Attributes:
        page: Of Playwright.
        complaints: Errors of the console, of scripts and of the policy of the pages, and requests to others.
    """

    def __init__(self, page: Any, context: Any, url: str) -> None:
        self.page = page
        self.context = context
        self.url = url
        self.complaints: list[str] = []
        context.on("request", self._asked)
        context.on("console", self._said)
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))

    @classmethod
    @asynccontextmanager
    async def open(cls, browser: Chromium, url: str, **options: Any) -> AsyncIterator[Eyes]:
        """A browser that knows nobody yet. The options are those of `Browser.new_context`."""
        given = {"viewport": {"width": 1280, "height": 800}, "locale": "en-GB", "timezone_id": "UTC", **options}
        context = await browser.new_context(**given)
        context.set_default_timeout(_PATIENCE)
        try:
            yield cls(await context.new_page(), context, url)
        finally:
            await context.close()

    async def look(self, path: str = "/") -> None:
        await self.page.goto(self.url + path)

    async def sign_in(self, secret: str, path: str = "/") -> None:
        await self.look(path)
        await self.page.locator("#key").fill(secret)
        await self.page.locator("#key").press("Enter")
        await self.page.get_by_role("navigation").first.wait_for()
        # That nobody has signed in yet is what this page is for, but the browser complains of its status.
        self.complaints = [each for each in self.complaints if each != _UNKNOWN]

    async def text(self) -> str:
        text: str = await self.page.inner_text("body")
        return text

    def _asked(self, request: Any) -> None:
        if not request.url.startswith((f"{self.url}/", "data:")):
            self.complaints.append(f"It asked {request.url}")

    def _said(self, message: Any) -> None:
        if message.type == "error":
            self.complaints.append(message.text)
