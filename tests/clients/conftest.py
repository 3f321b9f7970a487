"""The gateway that all clients ask, and which clients there are: those of the tox environment `js` only where it is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from importlib.util import find_spec

import pytest_asyncio

from .gateway import Stand, stand

collect_ignore = (
    [] if find_spec("langchain_openai") else ["test_javascript.py", "test_langchain.py", "test_openai_agents.py"]
)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def gateway() -> AsyncIterator[Stand]:
    async with stand() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def fresh_gateway() -> AsyncIterator[Stand]:
    """For what makes an upstream rest."""
    async with stand() as running:
        yield running
