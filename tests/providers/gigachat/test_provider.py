from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from xrouter_asgi.errors import (
    InvalidRequest,
    ModelNotFound,
    RequestRejected,
    UpstreamError,
    UpstreamUnauthorized,
    UpstreamUnavailable,
    XRouterError,
)
from xrouter_asgi.providers.base import Call, Reply, Unready
from xrouter_asgi.providers.gigachat import (
    AccessToken,
    AuthorizationKey,
    Credentials,
    GigaChatOptions,
    GigaChatProvider,
    Password,
)
from xrouter_asgi.providers.gigachat.provider import model_list
from xrouter_asgi.providers.http import TLS
from xrouter_asgi.providers.http.transport import HTTPTransport
from xrouter_asgi.testing.clock import LoopClock
from xrouter_asgi.testing.gigachat import FakeGigaChat
from xrouter_asgi.testing.gigachat.faults import ScriptedAnswer, Stall, refusal
from xrouter_asgi.wire import ChatCompletion, EmbeddingList, EmbeddingsRequest

from .conftest import Ask, Connect


def text(reply: Reply) -> str:
    assert isinstance(reply.body, ChatCompletion)
    content = reply.body.value["choices"][0]["message"]["content"]
    assert isinstance(content, str)
    return content


async def test_a_chat_is_answered(connect: Connect, ask: Ask) -> None:
    reply = await connect().send(ask("Привет"))
    assert text(reply) == "You said: Привет"
    assert (reply.provider, reply.model) == ("gigachat", "GigaChat-2")
    assert isinstance(reply.body, ChatCompletion)
    assert reply.body.value["model"] == "GigaChat-2"


async def test_the_reply_tells_ids_build_and_bill(connect: Connect, ask: Ask, fake: FakeGigaChat) -> None:
    reply = await connect().send(ask())
    (request,) = fake.asked("/chat/completions")
    assert dict(reply.headers) == {
        "x-gigachat-request-id": request.headers["x-request-id"],
        "x-gigachat-session-id": request.headers["x-session-id"],
        "x-gigachat-model": "GigaChat-2:2.0.28.2",
        "x-gigachat-billed-tokens": "20",
    }


async def test_what_no_header_may_hold_is_not_told(connect: Connect, ask: Ask, fake: FakeGigaChat) -> None:
    message = {"role": "assistant", "content": "Hi"}
    answer = {"choices": [{"message": message, "index": 0, "finish_reason": "stop"}], "model": "a\r\nb", "usage": {}}
    fake.script(
        "/chat/completions", ScriptedAnswer(200, answer, {"Content-Type": "application/json", "X-Request-Id": "<a b>"})
    )
    assert list((await connect().send(ask())).headers) == []


async def test_a_request_says_who_asks_in_utf8(connect: Connect, ask: Ask, fake: FakeGigaChat) -> None:
    provider = connect()
    await provider.send(ask("Привет"))
    await provider.send(ask("Привет"))
    first, second = fake.asked("/chat/completions")
    assert first.headers["authorization"] == "Bearer token-1"
    assert first.headers["user-agent"].startswith("xrouter-asgi/")
    assert first.headers["accept"] == "application/json"
    assert first.headers["content-type"] == "application/json"
    assert first.headers["x-client-id"] == second.headers["x-client-id"]
    assert first.headers["x-request-id"] != second.headers["x-request-id"]
    assert "Привет".encode() in first.body


async def test_the_client_id_is_the_operators_or_made_from_the_credentials(
    connect: Connect, ask: Ask, fake: FakeGigaChat
) -> None:
    for arguments in ({"client_id": "gateway-1"}, {}, {"credentials": AccessToken("token-2")}):
        await connect(**arguments).send(ask())
    given, derived, other = (request.headers["x-client-id"] for request in fake.asked("/chat/completions"))
    assert given == "gateway-1"
    assert len(derived) == 32
    assert derived != other
    assert derived not in fake.key


async def test_a_session_is_the_clients_else_one_of_the_dialogue_and_the_account(
    connect: Connect, ask: Ask, fake: FakeGigaChat
) -> None:
    provider = connect()
    await provider.send(ask(headers=[(b"x-session-id", b"mine")]))
    await provider.send(ask(headers=[(b"x-session-id", b"not fit\xff")]))
    await provider.send(ask())
    await provider.send(ask("Something else"))
    await connect(credentials=AccessToken("token-1")).send(ask())
    mine, unfit, derived, other, elsewhere = (
        request.headers["x-session-id"] for request in fake.asked("/chat/completions")
    )
    assert mine == "mine"
    assert unfit == derived
    assert len({derived, other, elsewhere}) == 3


async def test_a_dialogue_nobody_has_said_anything_in_has_no_session(
    connect: Connect, ask: Ask, fake: FakeGigaChat
) -> None:
    await connect().send(ask(messages=[{"role": "system", "content": "Be brief."}]))
    assert "x-session-id" not in fake.asked("/chat/completions")[0].headers


async def test_tracing_headers_of_the_client_pass_and_no_others(connect: Connect, ask: Ask, fake: FakeGigaChat) -> None:
    headers = [
        (b"x-service-id", b"svc"),
        (b"x-operation-id", b"op:1"),
        (b"x-trace-id", b"4bf92f35"),
        (b"x-agent-id", b"bad value\r\n"),
        (b"x-client-id", b"someone-else"),
        (b"cookie", b"secret=1"),
    ]
    await connect().send(ask(headers=headers))
    (request,) = fake.asked("/chat/completions")
    assert request.headers["x-service-id"] == "svc"
    assert request.headers["x-operation-id"] == "op:1"
    assert request.headers["x-trace-id"] == "4bf92f35"
    assert "x-agent-id" not in request.headers
    assert "cookie" not in request.headers
    assert request.headers["x-client-id"] != "someone-else"


async def test_an_alias_is_asked_for_by_gigachats_name(connect: Connect, ask: Ask, fake: FakeGigaChat) -> None:
    reply = await connect(options=GigaChatOptions(aliases={"gpt-4o": "GigaChat-2-Max"})).send(ask(model="gpt-4o"))
    assert reply.model == "GigaChat-2-Max"
    assert fake.bodies()[0]["model"] == "GigaChat-2-Max"
    assert isinstance(reply.body, ChatCompletion)
    assert reply.body.value["model"] == "gpt-4o"


async def test_an_alias_of_an_alias_is_not_followed(connect: Connect, ask: Ask, fake: FakeGigaChat) -> None:
    aliases = {"gpt-4o": "GigaChat-2-Max", "GigaChat-2-Max": "GigaChat-2"}
    reply = await connect(options=GigaChatOptions(aliases=aliases)).send(ask(model="gpt-4o"))
    assert reply.model == fake.bodies()[0]["model"] == "GigaChat-2-Max"


# Who we are.


async def test_fifty_calls_at_once_make_one_token_request(connect: Connect, ask: Ask, fake: FakeGigaChat) -> None:
    fake.parallel = 50
    provider = connect(max_parallel=50)
    replies = await asyncio.gather(*(provider.send(ask(str(number))) for number in range(50)))
    assert [text(reply) for reply in replies] == [f"You said: {number}" for number in range(50)]
    assert fake.oauth_calls == 1


async def test_a_token_that_died_early_is_replaced_and_the_request_repeated(
    connect: Connect, ask: Ask, fake: FakeGigaChat
) -> None:
    provider = connect()
    await provider.send(ask())
    fake.revoke()
    assert text(await provider.send(ask())) == "You said: Hello"
    assert fake.oauth_calls == 2
    first, refused, repeated = fake.asked("/chat/completions")
    assert len({request.headers["x-request-id"] for request in (first, refused, repeated)}) == 3


async def test_a_stream_is_repeated_too_while_it_has_not_begun(connect: Connect, ask: Ask, fake: FakeGigaChat) -> None:
    fake.script("/chat/completions", refusal(401, "Token has expired"))
    reply = await connect().send(ask(stream=True))
    assert not isinstance(reply.body, ChatCompletion)
    assert fake.oauth_calls == 2


async def test_a_second_401_is_a_502_and_the_next_calls_ask_nobody(
    connect: Connect, ask: Ask, fake: FakeGigaChat, clock: LoopClock
) -> None:
    provider = connect()
    fake.script("/chat/completions", *[refusal(401, "Unauthorized")] * 2)
    for _ in range(3):
        with pytest.raises(UpstreamUnauthorized) as caught:
            await provider.send(ask())
        assert caught.value.status == 502
    assert len(fake.asked("/chat/completions")) == fake.oauth_calls == 2
    clock.advance(30)
    assert text(await provider.send(ask())) == "You said: Hello"


async def test_user_and_password_work_without_oauth(connect: Connect, ask: Ask, fake: FakeGigaChat) -> None:
    provider = connect(credentials=Password(fake.user, fake.password))
    assert text(await provider.send(ask())) == "You said: Hello"
    assert fake.oauth_calls == 0


async def test_a_refused_access_token_is_replaced_by_means_of_the_key(
    connect: Connect, ask: Ask, fake: FakeGigaChat
) -> None:
    provider = connect(credentials=AccessToken("stale", then=fake.credentials))
    assert text(await provider.send(ask())) == "You said: Hello"
    first, second = fake.asked("/chat/completions")
    assert first.headers["authorization"] == "Bearer stale"
    assert second.headers["authorization"] == "Bearer token-1"


async def test_a_refused_access_token_alone_is_an_error(connect: Connect, ask: Ask, fake: FakeGigaChat) -> None:
    with pytest.raises(UpstreamUnauthorized) as caught:
        await connect(credentials=AccessToken("stale")).send(ask())
    assert "stale" not in caught.value.message + str(caught.value.detail)


async def test_a_client_certificate_alone_sends_no_token(connect: Connect, ask: Ask, fake: FakeGigaChat) -> None:
    # Over plain http the certificate is not read; what matters here is what is said above TLS.
    provider = connect(credentials=None, tls=TLS(cert="client.pem"))
    with pytest.raises(UpstreamUnauthorized, match="client certificate"):
        await provider.send(ask())
    assert "authorization" not in fake.asked("/chat/completions")[0].headers
    fake.script("/chat/completions", ScriptedAnswer(200, {"choices": [{"message": {"content": "Hi"}, "index": 0}]}))
    assert text(await provider.send(ask())) == "Hi"


def test_a_provider_without_any_credential_says_what_to_set() -> None:
    for credentials in (None, ""):
        with pytest.raises(
            ValueError, match=r"Set 'credentials' .* a Password or an AccessToken, or set a client cert"
        ):
            GigaChatProvider(credentials)


async def test_only_a_chat_that_would_have_to_wait_is_not_ready_to_be_sent(
    connect: Connect, ask: Ask, fake: FakeGigaChat
) -> None:
    fake.gate.clear()
    provider = connect()
    assert provider.ready(ask()) is None
    chat = asyncio.create_task(provider.send(ask()))
    await fake.arrived("/chat/completions")
    assert provider.ready(ask()) == Unready("queue_full", None, "over its limit: 1 of 1 calls under way")
    assert provider.ready(Call(EmbeddingsRequest.of({"model": "Embeddings", "input": "a"}))) is None
    fake.gate.set()
    await chat
    assert provider.ready(ask()) is None


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_one_is_refused(limit: int) -> None:
    with pytest.raises(ValueError, match="'max_parallel' is"):
        GigaChatProvider("YTpi", max_parallel=limit)


@pytest.mark.parametrize("client_id", ["", "two words", "x" * 65])
def test_a_client_id_that_is_none_is_refused(client_id: str) -> None:
    with pytest.raises(ValueError, match="'client_id' is"):
        GigaChatProvider(credentials="YTpi", client_id=client_id)


def test_no_secret_shows_in_a_representation() -> None:
    key = AuthorizationKey("c2VjcmV0OmtleQ==")
    credentials: list[Credentials] = [key, Password("secret-user", "secret"), AccessToken("secret-token", then=key)]
    provider = GigaChatProvider(
        credentials[-1], tls=TLS(cert="c.pem", key_password="secret"), transport=HTTPTransport()
    )
    shown = repr(provider) + "".join(repr(value) for value in [*vars(provider).values(), *credentials])
    shown += repr(TLS(cert="c.pem", key_password="secret"))
    assert "secret" not in shown
    assert "c2VjcmV0OmtleQ" not in shown
    assert repr(provider) == "GigaChatProvider(name='gigachat', base_url='https://api.giga.chat/v1')"


# TLS.


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def secure(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context


async def test_an_unknown_root_is_an_error_that_names_it_and_the_option(secure: ssl.SSLContext, ask: Ask) -> None:
    async with FakeGigaChat(tls=secure) as fake:
        provider = GigaChatProvider(credentials=fake.credentials, base_url=fake.base_url)
        with pytest.raises(UpstreamError, match=r"Russian Trusted Root CA.*'ca_bundle'") as caught:
            await provider.send(ask())
        assert (caught.value.code, caught.value.status) == ("tls_error", 502)
        for way in ("https://www.gosuslugi.ru/crt", "GIGACHAT_CA_BUNDLE_FILE", "SSL_CERT_FILE", 'ca_bundle = "system"'):
            assert way in caught.value.message
        assert (caught.value.detail or "").endswith("Trusted now: the public authorities.")
        assert "localhost" not in caught.value.message
        await provider.aclose()


async def test_a_host_without_tls_is_another_failure(ask: Ask) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        provider = GigaChatProvider(AuthorizationKey("YTpi", url=url), base_url=url)
        with pytest.raises(UpstreamError) as caught:
            await provider.send(ask())
        assert caught.value.code == "tls_error"
        assert "Russian" not in caught.value.message
        await provider.aclose()


async def test_a_certificate_for_another_name_is_another_failure(authority: trustme.CA, ask: Ask) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("elsewhere.example").configure_cert(context)
    async with FakeGigaChat(tls=context) as fake:
        ca_bundle = authority.cert_pem.bytes().decode()
        provider = GigaChatProvider(credentials=fake.credentials, base_url=fake.base_url, tls=TLS(ca_bundle))
        with pytest.raises(UpstreamError) as caught:
            await provider.send(ask())
        assert caught.value.code == "tls_error"
        assert "Russian" not in caught.value.message
        await provider.aclose()


@pytest.mark.parametrize("form", ["file", "text", "context"])
async def test_a_root_given_in_any_form_is_trusted(
    form: str, secure: ssl.SSLContext, authority: trustme.CA, tmp_path: Path, ask: Ask
) -> None:
    pem = authority.cert_pem.bytes()
    (tmp_path / "root.pem").write_bytes(pem)
    context = ssl.create_default_context(cadata=pem.decode())
    ca_bundle: Any = {"file": tmp_path / "root.pem", "text": pem.decode(), "context": context}[form]
    async with FakeGigaChat(tls=secure) as fake:
        provider = GigaChatProvider(credentials=fake.credentials, base_url=fake.base_url, tls=TLS(ca_bundle))
        assert text(await provider.send(ask())) == "You said: Hello"
        await provider.aclose()


# A transport of one's own.


async def test_a_transport_of_ones_own_carries_everything_and_is_closed(ask: Ask) -> None:
    seen = []

    class Transport(httpx.MockTransport):
        closed = False

        async def aclose(self) -> None:
            self.closed = True

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(str(request.url))
        if request.url.path.endswith("oauth"):
            return httpx.Response(200, json={"access_token": "t", "expires_at": 4102444800000})
        return httpx.Response(200, json={"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]})

    transport = Transport(answer)
    provider = GigaChatProvider(credentials="YTpi", transport=transport)
    assert text(await provider.send(ask())) == "Hi"
    await provider.aclose()
    assert seen == [
        "https://ngw.devices.sberbank.ru:9443/api/v2/oauth",
        "https://api.giga.chat/v1/chat/completions",
    ]
    assert transport.closed


# Embeddings.


async def test_embeddings_are_cut_into_batches_and_put_together(connect: Connect, fake: FakeGigaChat) -> None:
    texts = ["x" * (number + 1) for number in range(200)]
    call = Call(EmbeddingsRequest.of({"model": "Embeddings", "input": texts}))
    reply = await connect().send(call)
    assert isinstance(reply.body, EmbeddingList)
    assert [item["embedding"][0] for item in reply.body.value["data"]] == [float(number + 1) for number in range(200)]
    assert [item["index"] for item in reply.body.value["data"]] == list(range(200))
    assert reply.body.value["usage"]["prompt_tokens"] == sum(len(each) for each in texts)
    assert len(fake.asked("/embeddings")) == 3


async def test_embeddings_tell_the_ids_of_each_batch_and_the_build(connect: Connect, fake: FakeGigaChat) -> None:
    headers = [(b"x-service-id", b"svc"), (b"cookie", b"secret=1")]
    request = EmbeddingsRequest.of({"model": "Embeddings", "input": ["a"] * 91})
    reply = await connect().send(Call(request, headers=headers, trace_headers=[(b"traceparent", b"00-1-2-01")]))
    asked = fake.asked("/embeddings")
    told = [value for name, value in reply.headers if name == "x-gigachat-request-id"]
    assert told == [each.headers["x-request-id"] for each in asked]
    assert len(told) == 2
    assert [value for name, value in reply.headers if name == "x-gigachat-model"] == ["Embeddings"]
    for each in asked:
        assert (each.headers["x-service-id"], each.headers["traceparent"]) == ("svc", "00-1-2-01")
        assert "cookie" not in each.headers


async def test_embeddings_know_aliases(connect: Connect, fake: FakeGigaChat) -> None:
    provider = connect(options=GigaChatOptions(aliases={"text-embedding-3-small": "Embeddings-2"}))
    reply = await provider.send(Call(EmbeddingsRequest.of({"model": "text-embedding-3-small", "input": "a"})))
    assert fake.bodies("/embeddings") == [{"model": "Embeddings-2", "input": ["a"]}]
    assert isinstance(reply.body, EmbeddingList)
    assert (reply.model, reply.body.value["model"]) == ("Embeddings-2", "text-embedding-3-small")


async def test_embeddings_of_an_unknown_model_are_not_found(connect: Connect) -> None:
    with pytest.raises(ModelNotFound):
        await connect().send(Call(EmbeddingsRequest.of({"model": "GigaChat-2", "input": "a"})))


async def test_embeddings_of_too_long_texts_are_about_the_input(connect: Connect, fake: FakeGigaChat) -> None:
    fake.script("/embeddings", refusal(413, "Payload too large"))
    with pytest.raises(RequestRejected) as refused:
        await connect().send(Call(EmbeddingsRequest.of({"model": "Embeddings", "input": "a"})))
    assert (refused.value.code, refused.value.param) == ("context_length_exceeded", "input")


async def test_embeddings_of_tokens_are_refused_with_advice(connect: Connect, fake: FakeGigaChat) -> None:
    with pytest.raises(InvalidRequest, match="check_embedding_ctx_length"):
        await connect().send(Call(EmbeddingsRequest.of({"model": "Embeddings", "input": [1, 2, 3]})))
    assert fake.requests == []


# Models.


def listed(name: str, kind: str | None = "chat") -> dict[str, Any]:
    entry = {"id": name, "object": "model", "owned_by": "salutedevices"}
    return entry if kind is None else {**entry, "type": kind}


def names(*data: Any, **aliases: str) -> list[str]:
    return [model["id"] for model in model_list({"object": "list", "data": list(data)}, aliases=aliases).value["data"]]


def test_a_model_is_told_in_openais_shape_with_its_type() -> None:
    assert model_list({"data": [listed("GigaChat-2")]}, aliases={}).value == {
        "object": "list",
        "data": [
            {"id": "GigaChat-2", "object": "model", "owned_by": "salutedevices", "type": "chat", "created": 0},
        ],
    }


def test_only_chat_and_embedding_models_are_listed() -> None:
    kinds = ["chat", "embedder", "aicheck", "filter", None]
    assert names(*(listed(f"m-{kind}", kind) for kind in kinds)) == ["m-chat", "m-embedder", "m-None"]


def test_an_alias_of_a_listed_model_is_a_model() -> None:
    assert names(listed("GigaChat-2-Max"), gpt="GigaChat-2-Max", gone="GigaChat-9") == ["GigaChat-2-Max", "gpt"]


def test_an_alias_does_not_hide_a_model() -> None:
    assert names(listed("a"), listed("b"), a="b") == ["a", "b"]


@pytest.mark.parametrize("data", [[1], [{"id": 5}], [{}]])
def test_what_is_no_model_is_left_out(data: list[Any]) -> None:
    assert names(*data) == []
    assert model_list({"data": None}, aliases={}).value["data"] == []


async def test_models_are_asked_for_once_in_five_minutes(
    connect: Connect, fake: FakeGigaChat, clock: LoopClock
) -> None:
    provider = connect()
    await asyncio.gather(*(provider.models() for _ in range(10)))
    clock.advance(299)
    await provider.models()
    assert len(fake.asked("/models")) == 1
    clock.advance(1)
    del fake.models["GigaChat-2-Max"]
    listed = await provider.models()
    assert "GigaChat-2-Max" not in {model["id"] for model in listed.value["data"]}
    assert len(fake.asked("/models")) == 2


async def test_a_list_of_models_that_failed_is_not_remembered(connect: Connect, fake: FakeGigaChat) -> None:
    provider = connect()
    fake.script("/models", ScriptedAnswer(500))
    with pytest.raises(UpstreamError):
        await provider.models()
    listed = await provider.models()
    assert "Embeddings" in {model["id"] for model in listed.value["data"]}


# The end.


async def test_closing_ends_what_is_under_way(connect: Connect, fake: FakeGigaChat) -> None:
    provider = connect()
    fake.script("/models", Stall())
    waiting = asyncio.ensure_future(provider.models())
    await fake.arrived("/models")
    await provider.aclose()
    with pytest.raises(UpstreamUnavailable):
        await waiting
    await fake.asked("/models")[0].gone.wait()


@pytest.mark.parametrize("status", [400, 402, 403, 404, 422, 429, 500, 503])
async def test_other_operations_fail_within_the_family_too(connect: Connect, fake: FakeGigaChat, status: int) -> None:
    fake.script("/models", refusal(status, "No."))
    fake.script("/embeddings", refusal(status, "No."))
    with pytest.raises(XRouterError):
        await connect().models()
    with pytest.raises(XRouterError):
        await connect().send(Call(EmbeddingsRequest.of({"model": "Embeddings", "input": "a"})))
