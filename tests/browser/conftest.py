"""A browser for the operator's pages. Without one these tests are skipped, unless somebody demands them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import pytest_asyncio

from tests.browser.eyes import CHROMIUM, Chromium, Eyes, chromium
from tests.browser.scene import Scene
from tests.serving import uvicorn_here

HERE = Path(__file__).parent
DEMANDED = "XROUTER_BROWSER" in os.environ


def _missing() -> str | None:
    if find_spec("playwright") is None:
        return "playwright is not installed: tox -e browser installs it"
    return None if Path(CHROMIUM).exists() else f"there is no Chromium at {CHROMIUM}; its path can be in $CHROMIUM"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = _missing()
    if missing is not None and DEMANDED:
        raise pytest.UsageError(f"The browser tests are demanded by $XROUTER_BROWSER, but {missing}.")
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.browser)
            if missing is not None:
                item.add_marker(pytest.mark.skip(reason=missing))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Chromium]:
    async with chromium() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def scene() -> Scene:
    return await Scene.open()


@pytest_asyncio.fixture(loop_scope="session")
async def eyes(browser: Chromium, scene: Scene) -> AsyncIterator[Eyes]:
    """Somebody who has signed in to the scene, and whose browser complains of nothing."""
    async with uvicorn_here(scene.app) as url, Eyes.open(browser, url) as eyes:
        await eyes.sign_in(scene.operator.secret)
        yield eyes
        assert eyes.complaints == []
