from __future__ import annotations

from dataclasses import fields

import pytest
from pydantic import SecretStr

from xrouter_asgi.providers.gigachat import Options
from xrouter_asgi.providers.http import Timeouts
from xrouter_asgi.settings import GigaChatSettings, OpenAISettings, TimeoutSettings


@pytest.mark.parametrize("option", [option.name for option in fields(Options)])
def test_every_option_of_the_translation_can_be_set(option: str) -> None:
    assert option in GigaChatSettings.model_fields


def test_time_outs_are_those_of_the_transport_unless_set() -> None:
    assert TimeoutSettings().build() == Timeouts()
    assert TimeoutSettings.model_fields.keys() == {field.name for field in fields(Timeouts)}


def test_tables_build_what_they_describe() -> None:
    gigachat = GigaChatSettings(kind="gigachat", credentials=SecretStr("key"))
    local = OpenAISettings(kind="openai", base_url="http://127.0.0.1:1/v1")
    assert [gigachat.build("one").name, local.build("two").name] == ["one", "two"]
