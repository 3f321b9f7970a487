"""GigaChat as a provider: its REST API v1, told in OpenAI's words."""

from __future__ import annotations

import os
import re
import ssl
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import httpx

from ...errors import XRouterError
from ...queueing.single_flight import SingleFlight
from ...wire import ChatRequest, EmbeddingsRequest, ModelList
from ...wire.codec import encode
from ..base import Call, Reply
from ..http import USER_AGENT, Answer, Instrument, Redaction, Timeouts, ssl_context
from .auth.client import GigaChatClient, GigaChatUpstream
from .auth.credentials import SCOPES, AuthorizationKey, Login, Password, ReadyToken, digest, secrets_of
from .auth.tokens import TokenSource
from .chat import Chat
from .embeddings import batches, merge
from .files.downloads import Downloads
from .files.uploads import Files
from .headers import fact, passed_on, upstream_ids
from .models import models
from .options import Options
from .response.errors import upstream_error
from .response.reader import read_object
from .slots import Slots

BASE_URL = "https://api.giga.chat/v1"
AUTH_URL = "https://ngw.devices.sberbank.ru:9443/api/v2/oauth"

_MODELS_LIFE = 300.0
_JSON = [(b"Content-Type", b"application/json"), (b"Accept", b"application/json")]
_CLIENT_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

_NO_CREDENTIAL = (
    "GigaChatProvider has nothing to identify itself with. Set 'credentials' to the authorization key of the project, "
    "or 'user' and 'password', or 'access_token', or 'cert'."
)


class GigaChatProvider:
    """One GigaChat account.

    It identifies itself by `access_token` if there is one; when that is refused, or there is none, by `credentials`,
    else by `user` and `password`. With `cert` alone it sends no token at all.

    The constructor reads certificate files; everything else opens at the first request.

    Args:
        credentials: The authorization key of a project: base64 of `client_id:client_secret`, as Studio shows it.
        scope: The contract behind the key: `GIGACHAT_API_PERS`, `GIGACHAT_API_B2B` or `GIGACHAT_API_CORP`.
        user, password: For an internal stand.
        access_token: Made elsewhere; used until it is refused.
        base_url: Of the API. It is `https://gigachat.devices.sberbank.ru/api/v1` for older connections.
        auth_url: Where `credentials` become tokens.
        ca_bundle, cert, key, key_password, insecure: See `ssl_context()`. Both hosts have certificates of the Russian
            Trusted Root CA, which `ca_bundle` must hold. The client certificate is shown to the API alone.
        proxy: `http://` or `https://` address of a proxy for both hosts.
        timeouts: See `Timeouts`. `first` also bounds the wait for the first event of a stream.
        max_parallel: Chats under way at once; None is 1 for individuals (`GIGACHAT_API_PERS`) and 10 for others,
            as their contracts say.
        queue_timeout: Seconds that a chat waits for one of them.
        client_id: Value of `X-Client-ID`, which owns uploaded files; None makes one from the credentials.
        allow_networks: Networks from which images and documents may be fetched although they are not public.
        options: About the translation.
        transport: Replaces the connections to both hosts. Closed by `aclose()`.
        instrument: See `Upstream`.
        clock: Unix time, which the expiry of a token is compared with.
        monotonic: Seconds of a clock that nobody sets.

    Raises:
        ValueError: There is no credential, or an argument cannot be used.
    """

    def __init__(
        self,
        *,
        credentials: str | None = None,
        scope: str = SCOPES[0],
        user: str | None = None,
        password: str | None = None,
        access_token: str | None = None,
        base_url: str = BASE_URL,
        auth_url: str = AUTH_URL,
        ca_bundle: str | os.PathLike[str] | ssl.SSLContext | None = None,
        cert: str | None = None,
        key: str | None = None,
        key_password: str | None = None,
        insecure: bool = False,
        proxy: str | None = None,
        timeouts: Timeouts = Timeouts(),  # noqa: B008 -- frozen
        max_parallel: int | None = None,
        queue_timeout: float = 30.0,
        client_id: str | None = None,
        allow_networks: Sequence[str] = (),
        options: Options = Options(),  # noqa: B008 -- frozen
        name: str = "gigachat",
        transport: httpx.AsyncBaseTransport | None = None,
        instrument: Instrument | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._options = options
        if client_id is not None and not _CLIENT_ID.fullmatch(client_id):
            raise ValueError(f"'client_id' is {client_id!r}. Write 1 to 64 of the characters A-Z a-z 0-9 . _ -.")
        connect = partial(
            GigaChatUpstream,
            headers={"User-Agent": USER_AGENT},  # GigaChat's API description asks for one on every request
            timeouts=timeouts,
            proxy=proxy,
            transport=transport,
            instrument=instrument,
        )
        tls = partial(ssl_context, ca_bundle, insecure=insecure)
        api = connect(base_url, tls=partial(tls, cert=cert, key=key, key_password=key_password))
        self._upstreams = [api]
        known = secrets_of(credentials=credentials, user=user, password=password, access_token=access_token)
        self._redact = Redaction(known)
        login: Login | None = ReadyToken(access_token) if access_token else None
        if user and password:
            login = Password(user, password, upstream=api, redact=self._redact)
        if credentials:
            self._upstreams.append(connect(auth_url, tls=tls))
            login = AuthorizationKey(credentials, scope=scope, upstream=self._upstreams[-1], redact=self._redact)
        if login is None and not cert:
            raise ValueError(_NO_CREDENTIAL)
        tokens = TokenSource(login, ready=access_token or None, clock=clock, monotonic=monotonic) if login else None
        # A token changes while the account stays the same: it names the account only if nothing else does.
        salt = digest(credentials, user, cert) if credentials or user or cert else digest(access_token)
        client_id = client_id or digest("client id", salt)[:32]
        self._account = GigaChatClient(api, tokens, client_id=client_id, redact=self._redact)
        if max_parallel is None:
            max_parallel = 1 if scope == SCOPES[0] and not user and not cert else 10
        self._files = Files(self._account, Downloads(allow_networks=allow_networks), clock=monotonic)
        self._slots = Slots(max_parallel, queue_timeout=queue_timeout)
        self._chat = Chat(
            self._account,
            slots=self._slots,
            files=self._files,
            options=options,
            timeouts=timeouts,
            salt=salt,
            name=name,
        )
        self._models: SingleFlight[str, ModelList] = SingleFlight()
        self._listed: ModelList | None = None
        self._listed_until = float("-inf")
        self._monotonic = monotonic

    def available(self) -> str | None:
        """None when a chat would not have to stand in line; else why it would, for people to read."""
        return self._slots.available()

    async def send(self, call: Call, /) -> Reply:
        """Answer a chat, an embeddings or a models request. See `Provider.send()`."""
        match call.request:
            case ChatRequest() as request:
                return await self._chat.send(call, request)
            case EmbeddingsRequest() as request:
                return await self._embed(call, request)
        return Reply(await self._list(), provider=self.name)

    async def aclose(self) -> None:
        """Close connections; end renewals, uploads and deletions under way."""
        await self._models.aclose()
        await self._files.aclose()
        await self._account.aclose()
        for upstream in self._upstreams:
            await upstream.aclose()

    async def _embed(self, call: Call, request: EmbeddingsRequest) -> Reply:
        model = self._options.aliases.get(call.model, call.model)
        headers = [*_JSON, *passed_on(call)]
        answers: list[dict[str, Any]] = []
        facts: list[tuple[str, str]] = []
        portions = batches(request, model=model)
        # One after the other: a large input must not take the account's rate from everybody else.
        for texts in portions:
            content = encode({"model": model, "input": texts})
            answer = await self._account.fetch("POST", "/embeddings", headers=headers, content=content)
            if answer.status != 200:
                error = self._failure(answer, model=model)
                # The translation of errors speaks of a chat.
                error.param = "input" if error.param == "messages" else error.param
                raise error
            answers.append(read_object(answer.body))
            facts += [*upstream_ids(answer.headers), *fact("x-gigachat-model", answers[-1].get("model"))]
        merged = merge(answers, sizes=[len(texts) for texts in portions], model=request.model)
        return Reply(merged, provider=self.name, model=model, headers=list(dict.fromkeys(facts)))

    async def _list(self) -> ModelList:
        if self._listed is None or self._monotonic() >= self._listed_until:
            self._listed = await self._models.do("models", self._fetch_models)
            self._listed_until = self._monotonic() + _MODELS_LIFE
        return self._listed

    async def _fetch_models(self) -> ModelList:
        answer = await self._account.fetch("GET", "/models", headers=[(b"Accept", b"application/json")])
        if answer.status != 200:
            raise self._failure(answer)
        return models(read_object(answer.body), aliases=self._options.aliases)

    def _failure(self, answer: Answer, *, model: str = "") -> XRouterError:
        return upstream_error(answer.status, answer.headers, answer.body, model=model, redact=self._redact)

    def __repr__(self) -> str:
        return f"GigaChatProvider(name={self.name!r}, base_url={self._upstreams[0].base_url!r})"
