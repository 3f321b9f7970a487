"""Requests in the name of one GigaChat account."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from functools import partial
from typing import TypeAlias

from ....errors import UpstreamError, UpstreamUnauthorized
from ...http import (
    AnswerStream,
    ErrorReader,
    ErrorRule,
    Redaction,
    Upstream,
    UpstreamAnswer,
    has_unknown_issuer,
)
from ..response.errors import describe
from .credentials import AccessToken, Credentials, bearer
from .tokens import TokenSource

Headers: TypeAlias = Sequence[tuple[bytes, bytes]]


class GigaChatUpstream(Upstream):
    """An upstream that tells which issuer its certificate needs."""

    def explained(self, error: UpstreamError, cause: Exception) -> UpstreamError:
        error = super().explained(error, cause)
        if error.code != "tls_error" or not has_unknown_issuer(cause):
            return error
        return UpstreamError(
            "The issuer of GigaChat's certificate is not trusted. It is the Russian Trusted Root CA, which no public "
            "trust store holds. Get its certificate from https://www.gosuslugi.ru/crt and set 'ca_bundle' to the file; "
            "without a file of settings GIGACHAT_CA_BUNDLE_FILE, for any provider SSL_CERT_FILE. If this machine "
            'trusts it already, write ca_bundle = "system".',
            code="tls_error",
            detail=error.detail,
        )


class GigaChatClient:
    """Sends requests in the name of one account.

    Args:
        api, oauth: The API, and the token endpoint if that is another host. Closed by `aclose()`.
        credentials: None for an API that knows us by our client certificate.
        client_id: Value of `X-Client-ID`, the owner of uploaded files.
        errors: Rules about errors of the API.
    """

    def __init__(
        self,
        api: Upstream,
        credentials: Credentials | None,
        *,
        oauth: Upstream | None = None,
        client_id: str,
        errors: Sequence[ErrorRule] = (),
    ) -> None:
        self._api = api
        self._oauth = oauth or api
        hosts = [self._api.host, self._oauth.host]
        self.redact = Redaction(credentials.secrets if credentials else (), hosts=hosts)
        self.errors = ErrorReader(self.redact, errors)
        self._tokens: TokenSource | None = None
        if credentials is not None:
            login = partial(credentials.token, self._oauth, self.redact)
            ready = credentials.value if isinstance(credentials, AccessToken) else None
            self._tokens = TokenSource(login, ready=ready)
        self._client_id = (b"X-Client-ID", client_id.encode("ascii"))

    @property
    def token_expires(self) -> float | None:
        """See `TokenSource.expires`."""
        return None if self._tokens is None else self._tokens.expires

    async def open(
        self, method: str, path: str, *, headers: Headers = (), content: bytes = b"", deadline: float | None = None
    ) -> AnswerStream:
        """Send a request, once more with a new token if its token is refused. Close what is returned.

        Args:
            deadline: When everything has to be over, the wait for a token and the end of the answer included.

        Raises:
            UpstreamUnauthorized: The new token is refused too, or there is none to be had.
            UpstreamError: See `Upstream.open()` and `TokenSource.get()`.
        """

        async def send(token: str | None) -> AnswerStream:
            # A new id for each attempt, so that their support can tell the attempts apart.
            fields = [self._client_id, (b"X-Request-ID", str(uuid.uuid4()).encode()), *headers]
            if token is not None:
                fields.append((b"Authorization", bearer(token)))
            return await self._api.open(method, path, headers=fields, content=content, deadline=deadline)

        token = None if self._tokens is None else await self._tokens.get(deadline=deadline)
        answer = await send(token)
        if answer.status != 401:
            return answer
        if self._tokens is None or token is None:
            message = "GigaChat refused this gateway's client certificate."
            raise UpstreamUnauthorized(message, detail=await self._said(answer))
        await answer.aclose()
        token = await self._tokens.replace(token, deadline=deadline)
        answer = await send(token)
        if answer.status == 401:
            raise self._tokens.refuse(token, detail=await self._said(answer))
        return answer

    async def fetch(
        self,
        method: str,
        path: str,
        *,
        headers: Headers = (),
        content: bytes = b"",
        limit: int = 32 << 20,
        deadline: float | None = None,
    ) -> UpstreamAnswer:
        """Like `open()`, and read the whole answer, at most `limit` bytes."""
        answer = await self.open(method, path, headers=headers, content=content, deadline=deadline)
        return UpstreamAnswer(answer.status, answer.fields, await answer.read(limit))

    async def aclose(self) -> None:
        """End a renewal of the token, and close the upstreams."""
        if self._tokens is not None:
            await self._tokens.aclose()
        await self._oauth.aclose()
        await self._api.aclose()

    async def _said(self, answer: AnswerStream) -> str:
        """What a refusal says, for the log."""
        said = self.errors.read(await answer.read(64 << 10))
        return f"{describe(answer.status, said)} Request id {answer.headers.get('x-request-id')}."
