"""Whether providers list what the settings name."""

from __future__ import annotations

from typing import Any

import pytest

from xrouter_asgi.inspection import PartStatus, unlisted_targets
from xrouter_asgi.settings import Settings
from xrouter_asgi.testing.gigachat import KEY

GIGACHAT = {"kind": "gigachat", "credentials": "env:KEY"}
YANDEX = {"kind": "yandex", "api_key": "env:KEY", "folder": "b1g"}
AZURE = {"kind": "azure", "api_key": "env:KEY", "base_url": "https://r.openai.azure.com/openai/v1"}
LOCAL = {"kind": "ollama"}


def missing(provider: dict[str, Any], target: str, *listed: str) -> list[str]:
    document = {"providers": {"up": provider}, "models": {"m-*" if "*" in target else "m": {"targets": [target]}}}
    settings = Settings.parse(document, environment={"KEY": KEY})
    return [status.answer for status in unlisted_targets(settings, [PartStatus("up", True, "", listed)])]


@pytest.mark.parametrize(
    ("provider", "target", "listed"),
    [
        (LOCAL, "up/qwen3", ["qwen3"]),
        (LOCAL, "up/qwen3", []),  # it lists nothing, so it is believed to have all
        (LOCAL, "up/*", ["qwen3"]),
        (YANDEX, "up/yandexgpt/latest", ["gpt://b1g/yandexgpt/latest"]),
        (AZURE, "up/my-deployment", ["gpt-4o"]),
        (GIGACHAT, "up/GigaChat-Pro", ["GigaChat-2-Pro"]),  # which answers in its place
    ],
)
def test_what_can_be_asked_for_is_not_missing(provider: dict[str, Any], target: str, listed: list[str]) -> None:
    assert missing(provider, target, *listed) == []


def test_a_name_that_is_not_listed_is_told_with_what_was_meant() -> None:
    assert missing(GIGACHAT, "up/GigaChat-2-Mx", "GigaChat-2", "GigaChat-2-Max") == [
        "up lists no 'GigaChat-2-Mx'. Did you mean 'GigaChat-2-Max'? Known: GigaChat-2, GigaChat-2-Max."
    ]
    assert len(missing(YANDEX, "up/yandexgpt", "gpt://b1g/yandexgpt/latest")) == 1
