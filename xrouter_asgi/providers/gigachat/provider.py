"""GigaChat as a provider: its REST API v1, translated to OpenAI's dialect."""

from __future__ import annotations

import re
from asyncio import get_running_loop
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import httpx

from ...checks import require_positive
from ...errors import UpstreamTimeout
from ...queueing.single_flight import SingleFlight
from ...queueing.slots import Slots
from ...wire import ChatRequest, ModelList
from ..base import Call, Reply, Unready
from ..http import TLS, USER_AGENT, ErrorRule, Instrument, Timeouts, json_object
from .auth.client import GigaChatClient, GigaChatUpstream
from .auth.credentials import INDIVIDUALS, AccessToken, AuthorizationKey, Credentials, Password, digest
from .chat import Chat
from .embeddings import embed
from .files.downloads import Downloads
from .files.uploads import Uploads
from .options import GigaChatOptions
from .response.errors import upstream_error
from .token_count import count_tokens

BASE_URL = "https://api.giga.chat/v1"
MODELS_TTL = 300.0

_AGENT = {"User-Agent": USER_AGENT}  # GigaChat's API description asks for one on every request
_SERVED = ("chat", "embedder", None)
_CLIENT_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_NO_CREDENTIALS = (
    "GigaChatProvider has nothing to identify itself with. Set 'credentials' to the authorization key of the project, "
    "to a Password or an AccessToken, or set a client certificate in 'tls'."
)


class GigaChatProvider:
    """One GigaChat account.

    The constructor reads certificate files; everything else opens at the first request.

    Args:
        credentials: The authorization key of an individual's project; or an `AuthorizationKey` of another contract, a
            `Password` or an `AccessToken`. None sends no token, if `tls` has a client certificate.
        base_url: Of the API. It is `https://gigachat.devices.sberbank.ru/api/v1` for older connections.
        tls: Both hosts have certificates of the Russian Trusted Root CA, which `ca_bundle` must hold. The client
            certificate is shown to the API alone.
        proxy: `http://` or `https://` address of a proxy for both hosts.
        timeouts: See `Timeouts`. `first` also bounds the wait for the first event of a stream.
        max_parallel: Chats under way at once. None is 1 for individuals (`GIGACHAT_API_PERS`) and 10 for others, as
            their contracts say.
        queue_timeout: Seconds that a chat waits for one of them.
        client_id: Value of `X-Client-ID`, which owns uploaded files. None makes one from the credentials.
        allow_networks: Networks from which images and documents may be fetched although they are not public.
        options: About the translation.
        errors: Whose fault errors of the API are, before the table of this package does. The first that holds counts.
        transport: Replaces the connections to both hosts. Closed by `aclose()`.
        instrument: See `Upstream`.

    Raises:
        ValueError: There are no credentials, or an argument cannot be used.
    """

    def __init__(
        self,
        credentials: str | Credentials | None = None,
        *,
        base_url: str = BASE_URL,
        tls: TLS = TLS(),  # noqa: B008 -- frozen
        proxy: str | None = None,
        timeouts: Timeouts = Timeouts(),  # noqa: B008 -- frozen
        max_parallel: int | None = None,
        queue_timeout: float = 30.0,
        client_id: str | None = None,
        allow_networks: Sequence[str] = (),
        options: GigaChatOptions = GigaChatOptions(),  # noqa: B008 -- frozen
        errors: Sequence[ErrorRule] = (),
        name: str = "gigachat",
        transport: httpx.AsyncBaseTransport | None = None,
        instrument: Instrument | None = None,
    ) -> None:
        credentials = _checked(credentials, tls, client_id)
        self.name = name
        self._base_url = base_url.rstrip("/")
        self._aliases = options.aliases
        connect = partial(
            GigaChatUpstream, headers=_AGENT, timeouts=timeouts, proxy=proxy, transport=transport, instrument=instrument
        )
        oauth = connect(credentials.url, tls=tls.anonymous()) if credentials and credentials.url else None
        salt = _digest_of(credentials, tls)
        client_id = client_id or digest("client id", salt)[:32]
        api = connect(base_url, tls=tls)
        client = GigaChatClient(api, credentials, oauth=oauth, client_id=client_id, errors=errors)
        self._client = client
        self._slots = _slots(max_parallel, queue_timeout, credentials, tls)
        self._uploads = Uploads(client, Downloads(allow_networks=allow_networks))
        self._chat = Chat(client, self._slots, self._uploads, options=options, timeouts=timeouts, salt=salt, name=name)
        self._listings: SingleFlight[str, ModelList] = SingleFlight()
        self._models: tuple[float, ModelList] | None = None  # until when, in the loop's time
        self._closed = False

    def ready(self, call: Call, /) -> Unready | None:
        """`queue_full` when a chat would have to wait for another to end; `closed` after `aclose()`."""
        if self._closed:
            return Unready("closed", None, "closed")
        if isinstance(call.request, ChatRequest) and (reason := self._slots.over_limit()) is not None:
            return Unready("queue_full", None, reason)
        return None

    async def send(self, call: Call, /) -> Reply:
        """Answer a chat or an embeddings request. See `Provider.send()`."""
        if isinstance(call.request, ChatRequest):
            return await self._chat.send(call, call.request)
        model = self._aliases.get(call.model, call.model)
        return await embed(self._client, call, call.request, model=model, name=self.name)

    @property
    def token_expires(self) -> float | None:
        """See `TokenHolder`."""
        return self._client.token_expires

    async def count_tokens(self, call: Call, /) -> int | None:
        """The tokens of a chat; None for any other request. See `TokenCounter`."""
        if not isinstance(call.request, ChatRequest):
            return None
        return await count_tokens(self._client, call, call.request, model=self._aliases.get(call.model, call.model))

    async def models(self, *, deadline: float | None = None) -> ModelList:
        """The models for chat and embeddings, and their aliases, remembered for five minutes. See `ReadyProvider`."""
        if self._models is None or get_running_loop().time() >= self._models[0]:
            try:
                listed = await self._listings.do("models", self._list, deadline=deadline)
            except TimeoutError:
                message = "GigaChat did not list its models in the time of this call."
                raise UpstreamTimeout(message, code="total_timeout", trips=False) from None
            self._models = get_running_loop().time() + MODELS_TTL, listed
        return self._models[1]

    async def aclose(self) -> None:
        """Close connections; end renewals, uploads and deletions under way."""
        self._closed = True
        await self._listings.aclose()
        await self._uploads.aclose()
        await self._client.aclose()

    async def _list(self) -> ModelList:
        answer = await self._client.fetch("GET", "/models", headers=[(b"Accept", b"application/json")])
        if answer.status != 200:
            raise upstream_error(answer.status, answer.headers, answer.body, model="", errors=self._client.errors)
        return model_list(json_object(answer.body), aliases=self._aliases)

    def __repr__(self) -> str:
        return f"GigaChatProvider(name={self.name!r}, base_url={self._base_url!r})"


def model_list(answer: dict[str, Any], *, aliases: Mapping[str, str]) -> ModelList:
    """GigaChat's list of models -> OpenAI's: the models for chat and embeddings, and the aliases of those among them.

    GigaChat's `type` is kept. `created` is 0, because GigaChat says nothing about age.
    """
    data = answer.get("data")
    known: dict[str, dict[str, Any]] = {}
    for item in data if isinstance(data, list) else ():
        if isinstance(item, dict) and isinstance(name := item.get("id"), str) and item.get("type") in _SERVED:
            owner = item.get("owned_by", "salutedevices")
            known[name] = {**item, "id": name, "object": "model", "created": 0, "owned_by": owner}
    for alias, name in aliases.items():
        if name in known and alias not in known:
            known[alias] = {**known[name], "id": alias}
    return ModelList({"object": "list", "data": list(known.values())})


def _checked(credentials: str | Credentials | None, tls: TLS, client_id: str | None) -> Credentials | None:
    if isinstance(credentials, str):
        credentials = AuthorizationKey(credentials) if credentials else None
    if credentials is None and not tls.cert:
        raise ValueError(_NO_CREDENTIALS)
    if client_id is not None and not _CLIENT_ID.fullmatch(client_id):
        raise ValueError(f"'client_id' is {client_id!r}. Write 1 to 64 of the characters A-Z a-z 0-9 . _ -.")
    return credentials


def _slots(max_parallel: int | None, queue_timeout: float, credentials: Credentials | None, tls: TLS) -> Slots:
    """As many as the contract says, unless the operator does: one for a person."""
    if max_parallel is None:
        contract = credentials.then or credentials if isinstance(credentials, AccessToken) else credentials
        max_parallel = 1 if contract is not None and contract.scope == INDIVIDUALS and not tls.cert else 10
    require_positive(max_parallel=max_parallel)
    return Slots(max_parallel, queue_timeout=queue_timeout, name="GigaChat")


def _digest_of(credentials: Credentials | None, tls: TLS) -> str:
    """A name for the account. A token changes while the account stays the same, so it counts only without the rest."""
    match credentials:
        case AuthorizationKey(key=key) | AccessToken(then=AuthorizationKey(key=key)):
            return digest(key, "", tls.cert)
        case Password(user=user) | AccessToken(then=Password(user=user)):
            return digest("", user, tls.cert)
        case AccessToken(value=token) if not tls.cert:
            return digest(token)
    return digest("", "", tls.cert)
