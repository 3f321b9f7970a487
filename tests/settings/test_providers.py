from __future__ import annotations

from dataclasses import fields

import pytest
from pydantic import SecretStr

from tests.fakes.openai import FakeOpenAI
from xrouter_asgi.errors import UpstreamUnavailable
from xrouter_asgi.providers.base import Call
from xrouter_asgi.providers.gigachat import Options
from xrouter_asgi.providers.http import Timeouts
from xrouter_asgi.providers.own_key import OwnKey
from xrouter_asgi.settings import GigaChatSettings, OpenAISettings, TimeoutSettings
from xrouter_asgi.wire import ModelsRequest

from .reading import mistakes, read


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


class TestOwnKeys:
    """Callers who bring a credential of their own."""

    @pytest.mark.parametrize(
        "table",
        [
            'kind = "openai"\nbase_url = "http://127.0.0.1:1"',
            'kind = "gigachat"',
        ],
    )
    def test_who_must_bring_one_needs_none_of_the_gateway(self, table: str) -> None:
        settings = read(f'[providers.mine]\nown_key = "required"\n{table}')
        provider = settings.providers["mine"].build("mine")
        assert isinstance(provider, OwnKey)
        assert provider.name == "mine"

    def test_who_may_bring_one_is_else_served_by_the_gateways(self) -> None:
        (found,) = mistakes('[providers.mine]\nkind = "gigachat"\nown_key = true')
        assert found.startswith("providers.mine cannot be used: ")

    def test_what_would_be_refused_with_a_callers_credential_is_a_mistake(self) -> None:
        (found,) = mistakes('[providers.mine]\nkind = "gigachat"\nown_key = "required"\nproxy = "socks5://x"')
        assert found.startswith("providers.mine cannot be used: 'proxy' must start with")

    def test_it_is_written_in_one_of_three_ways(self) -> None:
        (found,) = mistakes('[providers.mine]\nkind = "openai"\nbase_url = "http://x"\nown_key = "yes"')
        assert found == "providers.mine.own_key is 'yes'. Write false, true or 'required'."

    async def test_nothing_of_the_gateways_account_goes_along(self) -> None:
        async with FakeOpenAI() as fake:
            settings = read(
                f"""
                [providers.mine]
                kind = "openai"
                base_url = "{fake.base_url}"
                api_key = "env:KEY"
                headers = {{ openai-organization = "ours" }}
                own_key = true
                """,
                KEY="gateways",
            )
            provider = settings.providers["mine"].build("mine")
            for headers in ([], [(b"x-provider-key", b"callers")]):
                await provider.send(Call(ModelsRequest(), headers=headers))
            await provider.aclose()
        sent = [(each.headers["authorization"], each.headers.get("openai-organization")) for each in fake.requests]
        assert sent == [("Bearer gateways", "ours"), ("Bearer callers", None)]

    async def test_certificates_are_read_and_warned_of_once_for_all_callers(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        text = (
            '[providers.mine]\nkind = "openai"\nbase_url = "https://127.0.0.1:9"\ninsecure = true\nown_key = "required"'
        )
        provider = read(text).providers["mine"].build("mine")
        for caller in (b"one", b"two"):
            with pytest.raises(UpstreamUnavailable):
                await provider.send(Call(ModelsRequest(), headers=[(b"x-provider-key", caller)]))
        await provider.aclose()
        assert [message[:19] for message in caplog.messages] == ["TLS certificates of"]
