from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import trustme
from pydantic import SecretStr

from xrouter_asgi.errors import RequestRejected, UpstreamOverloaded, UpstreamUnavailable
from xrouter_asgi.providers.base import Call
from xrouter_asgi.providers.own_key import BringYourOwnKey
from xrouter_asgi.settings.providers import AnthropicSettings, GigaChatSettings, OpenAISettings
from xrouter_asgi.standalone import build_router
from xrouter_asgi.testing.gigachat import FakeGigaChat
from xrouter_asgi.testing.gigachat.faults import Stall
from xrouter_asgi.testing.openai import FakeOpenAI, held, refuse
from xrouter_asgi.testing.scripted import chat
from xrouter_asgi.wire import ChatRequest

from .reading import mistakes, read


def test_tables_build_what_they_describe() -> None:
    gigachat = GigaChatSettings(kind="gigachat", credentials=SecretStr("YTpi"))
    local = OpenAISettings(kind="openai", base_url="http://127.0.0.1:1/v1")
    assert [gigachat.build("one").name, local.build("two").name] == ["one", "two"]


class TestMaxParallel:
    """How many calls all models of a provider may have under way."""

    TABLE = '[providers.mine]\nkind = "openai"\nbase_url = "http://127.0.0.1:1"\n'

    @pytest.mark.parametrize(("written", "limit"), [("3", 3), ('"adaptive"', 10)])
    def test_it_is_the_limit_of_the_account(self, written: str, limit: int) -> None:
        table = read(f"{self.TABLE}max_parallel = {written}").providers["mine"]
        assert isinstance(table, OpenAISettings)
        slots = table.account().slots
        assert slots is not None
        assert slots.limit == limit

    def test_without_it_there_is_none(self) -> None:
        table = read(self.TABLE).providers["mine"]
        assert isinstance(table, OpenAISettings)
        assert table.account().slots is None

    @pytest.mark.parametrize(("written", "given"), [("0", "0"), ("true", "True"), ('"fast"', "'fast'")])
    def test_anything_else_is_a_mistake(self, written: str, given: str) -> None:
        (found,) = mistakes(f"{self.TABLE}max_parallel = {written}")
        assert found == f'providers.mine.max_parallel is {given}. Write a number above 0, or "adaptive".'

    def test_callers_own_keys_have_none_in_common(self) -> None:
        (found,) = mistakes(f"{self.TABLE}max_parallel = 3\nown_key = true")
        assert found.startswith("providers.mine has 'own_key', so there is not one account")

    async def test_a_model_over_the_limit_of_its_provider_is_passed_over(self) -> None:
        async with FakeOpenAI() as fake:
            done = asyncio.Event()
            fake.next(held(done, refuse(400)))
            settings = read(
                f"""
                providers.mine = {{ kind = "openai", base_url = "{fake.base_url}", max_parallel = 1 }}
                providers.echo.kind = "echo"
                models.large.targets = ["mine/a"]
                models.small.targets = ["mine/b", "echo/echo"]
                """
            )
            router = build_router(settings)
            chats = [Call(ChatRequest.of(chat(name)), name) for name in ("large", "small")]
            running = asyncio.create_task(router.models["large"].send(chats[0]))
            await fake.arrived()
            assert (await router.models["small"].send(chats[1])).provider == "echo"
            (_, passed_over) = chats[1].context.decision.candidates
            assert str(passed_over.excluded) == "over its limit: 1 of 1 calls under way"
            done.set()
            await asyncio.wait([running])
            assert isinstance(running.exception(), RequestRejected)
            await router.aclose()

    async def test_so_is_a_model_over_the_limit_of_an_account_at_gigachat(self) -> None:
        async with FakeGigaChat() as fake:
            fake.script("/chat/completions", Stall())
            settings = read(
                f"""
                providers.giga = {{ kind = "gigachat", base_url = "{fake.base_url}", access_token = "env:TOKEN" }}
                providers.echo.kind = "echo"
                models.one.targets = ["giga/GigaChat-2", "echo/echo"]
                """,
                TOKEN="token",
            )
            router = build_router(settings)
            chats = [Call(ChatRequest.of(chat("one")), "one") for _ in range(2)]
            running = asyncio.create_task(router.models["one"].send(chats[0]))
            await fake.arrived("/chat/completions")
            assert (await router.models["one"].send(chats[1])).provider == "echo"
            (_, passed_over) = chats[1].context.decision.candidates
            assert str(passed_over.excluded) == "over its limit: 1 of 1 calls under way"
            running.cancel()
            await asyncio.wait([running])
            await router.aclose()


class TestErrors:
    """Rows of an operator about errors of an upstream."""

    ROWS = """
    [[providers.mine.errors]]
    kind = "overloaded"
    status = [400, 418]
    match = "Tea"
    [[providers.mine.errors]]
    kind = "quota"
    match = ["empty", "4711"]
    """

    async def test_they_come_before_what_is_known(self) -> None:
        async with FakeOpenAI() as fake:
            table = f'[providers.mine]\nkind = "openai"\nbase_url = "{fake.base_url}"\n'
            router = build_router(read(f'{table}{self.ROWS}\n[models.one]\ntargets = ["mine/a", "a/echo"]'))
            fake.next(refuse(400, "No tea today."))
            call = Call(ChatRequest.of(chat("one")), "one")
            assert (await router.models["one"].send(call)).provider == "a"
            assert isinstance(call.context.attempts[0].error, UpstreamOverloaded)
            await router.aclose()

    @pytest.mark.parametrize(
        ("row", "said"),
        [
            ('kind = "quota"', "cannot be used: it has neither 'status' nor 'match', so it would hold for any error."),
            ('kind = "quota"\nstatus = 200', "cannot be used: 'status' is 200. Write a number from 400 to 599,"),
            ('kind = "quota"\nmatch = ["a", ""]', "cannot be used: 'match' is ['a', '']. Write a text that is not"),
            ('match = "a"', ".kind is missing. Write it."),
            ('kind = "x"\nmatch = "a"', ".kind is 'x'. Write 'caller', 'context', 'content', 'credential', 'quota',"),
            ('kind = "quota"\nmatch = "a"\nstatuses = 4', "has no key 'statuses'. Did you mean 'status'? Known: kind,"),
        ],
    )
    def test_a_row_that_cannot_be_used_is_a_mistake(self, row: str, said: str) -> None:
        table = '[providers.mine]\nkind = "openai"\nbase_url = "http://127.0.0.1:1"\n'
        (found,) = mistakes(f"{table}[[providers.mine.errors]]\n{row}")
        assert found.removeprefix("providers.mine.errors[0]").strip().startswith(said)


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
        assert isinstance(provider, BringYourOwnKey)
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
                await provider.send(Call(ChatRequest.of(chat("m")), headers=headers))
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
                await provider.send(Call(ChatRequest.of(chat("m")), headers=[(b"x-provider-key", caller)]))
        await provider.aclose()
        assert [message[:19] for message in caplog.messages] == ["TLS certificates of"]


class TestTrustedCertificates:
    """`ca_bundle`, and what the environment says where it is not written."""

    TABLE = '[providers.mine]\nkind = "openai"\nbase_url = "https://127.0.0.1:1/v1"\n'

    @pytest.fixture
    def bundle(self, tmp_path: Path) -> str:
        trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
        return str(tmp_path / "ca.pem")

    def trusted(self, text: str = "", **environment: str) -> str:
        table = read(self.TABLE + text, folder=Path(), **environment).providers["mine"]
        assert isinstance(table, OpenAISettings)
        return table.trusted

    def test_the_environment_counts_where_nothing_is_written(self, bundle: str) -> None:
        also = f"the public authorities and {bundle}"
        assert self.trusted() == "the public authorities"
        assert self.trusted(SSL_CERT_FILE=bundle) == self.trusted(SSL_CERT_DIR=bundle) == also
        assert self.trusted(f'ca_bundle = "{bundle}"', SSL_CERT_FILE="/no/where.pem") == also
        assert self.trusted('ca_bundle = "system"', SSL_CERT_FILE=bundle) == "this machine's store"

    def test_channels_of_alerts_trust_the_same(self, bundle: str) -> None:
        alerts = read('alerts.webhook.url = "https://h.example"', SSL_CERT_FILE=bundle).alerts
        assert alerts is not None
        assert alerts.webhook is not None
        assert alerts.webhook.ca_bundle == Path(bundle)

    def test_an_address_without_tls_needs_none(self) -> None:
        table = read('[providers.mine]\nkind = "ollama"').providers["mine"]
        assert isinstance(table, OpenAISettings)
        assert table.trusted == "-"

    @pytest.mark.parametrize(
        ("text", "environment", "told"),
        [
            ("ca_bundle = 5", {}, 'is 5. Write the path of a file or a folder, or "system" for the machine'),
            ('ca_bundle = "/no.pem"', {}, "names '/no.pem', which does not exist."),
            ("", {"SSL_CERT_FILE": "/no.pem"}, "is what SSL_CERT_FILE names, '/no.pem', which does not exist."),
        ],
    )
    def test_what_cannot_be_read_is_told(self, text: str, environment: dict[str, str], told: str) -> None:
        (found,) = mistakes(self.TABLE + text, **environment)
        assert found.startswith(f"providers.mine.ca_bundle {told}")


class TestAnthropic:
    """The key of Anthropic's own tools."""

    def test_it_is_taken_where_nothing_else_is_written(self) -> None:
        table = read('providers.mine.kind = "anthropic"', ANTHROPIC_API_KEY="sk-ant-1").providers["mine"]
        assert isinstance(table, AnthropicSettings)
        assert table.api_key is not None
        assert table.api_key.get_secret_value() == "sk-ant-1"
        written = 'providers.mine = { kind = "anthropic", api_key = "env:OTHER" }'
        other = read(written, ANTHROPIC_API_KEY="sk-ant-1", OTHER="sk-ant-2").providers["mine"]
        assert isinstance(other, AnthropicSettings)
        assert other.api_key == SecretStr("sk-ant-2")

    def test_another_address_does_not_get_to_see_it(self) -> None:
        written = 'providers.mine = { kind = "anthropic", base_url = "https://up.example/v1" }'
        table = read(written, ANTHROPIC_API_KEY="sk-ant-1").providers["mine"]
        assert isinstance(table, AnthropicSettings)
        assert table.api_key is None

    def test_anthropic_itself_needs_one(self) -> None:
        (found,) = mistakes('providers.mine.kind = "anthropic"')
        assert found.startswith("providers.mine has no key. Set the environment variable ANTHROPIC_API_KEY")
        assert read('providers.mine = { kind = "anthropic", own_key = "required" }').providers
