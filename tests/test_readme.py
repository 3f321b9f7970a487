"""What README.md shows is true."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import httpx
import pytest

from xrouter_asgi.settings import (
    EchoSettings,
    GigaChatSettings,
    ModelSettings,
    OpenAISettings,
    ServerSettings,
    Settings,
    TimeoutSettings,
)

from .serving import uvicorn_here

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")


def block(language: str) -> str:
    """The first code block in that language."""
    found = re.search(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


async def test_the_first_program_serves_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIGACHAT_CREDENTIALS", "a2V5")
    names: dict[str, Any] = {}
    exec(block("python"), names)  # noqa: S102 -- the README's own
    async with uvicorn_here(names["app"]) as url, httpx.AsyncClient(trust_env=False) as client:
        listed = (await client.get(f"{url}/llm/v1/models")).json()
    assert [model["id"] for model in listed["data"]] == ["GigaChat-2-Pro"]


def test_the_settings_are_in_order() -> None:
    settings = Settings.parse(tomllib.loads(block("toml")), environment={"GIGACHAT_CREDENTIALS": "a2V5"})
    assert list(settings.served) == ["assistant", "local-*"]


@pytest.mark.parametrize(
    "table",
    [EchoSettings, GigaChatSettings, ModelSettings, OpenAISettings, ServerSettings, TimeoutSettings],
)
def test_every_setting_is_named(table: type[Any]) -> None:
    assert [key for key in table.model_fields if not re.search(rf"\b{key}\b", README)] == []


def test_every_link_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert len(links) > 5
    assert [link for link in links if "://" not in link and not (ROOT / link).exists()] == []
