"""One GigaChat account: requests that carry its token, and say who asks."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from ....errors import UpstreamError, UpstreamUnauthorized
from ...http import Answer, AnswerStream, Redaction, Upstream, has_unknown_issuer
from ..response.error_body import Words
from .credentials import bearer
from .tokens import TokenSource

Headers = Sequence[tuple[bytes, bytes]]


class GigaChatUpstream(Upstream):
    """An upstream that knows why its certificate is not trusted."""

    def explained(self, error: UpstreamError, cause: Exception) -> UpstreamError:
        if error.code != "tls_error" or not has_unknown_issuer(cause):
            return error
        return UpstreamError(
            "The issuer of GigaChat's certificate is not trusted. It is the Russian Trusted Root CA, which no public "
            "trust store holds: set 'ca_bundle' to its certificate.",
            code="tls_error",
            detail=error.detail,
        )


class GigaChatClient:
    """Sends requests in the name of one account.

    Args:
        tokens: None for an upstream that knows us by our client certificate.
        client_id: Value of `X-Client-ID`, the owner of uploaded files.
        redact: Knows what the account's secrets are.
    """

    def __init__(self, upstream: Upstream, tokens: TokenSource | None, *, client_id: str, redact: Redaction) -> None:
        self._upstream = upstream
        self._tokens = tokens
        self._client_id = (b"X-Client-ID", client_id.encode("ascii"))
        self.redact = redact

    async def open(self, method: str, path: str, *, headers: Headers = (), content: bytes = b"") -> AnswerStream:
        """Send a request, once more with a new token if its token is refused. Close what is returned.

        Raises:
            UpstreamUnauthorized: The new token is refused too, or there is none to be had.
            UpstreamError: See `Upstream.open()`.
        """
        if self._tokens is None:
            answer = await self._send(method, path, headers, content, None)
            if answer.status == 401:
                raise UpstreamUnauthorized(
                    "GigaChat refused this gateway's client certificate.", detail=await self._said(answer)
                )
            return answer
        token = await self._tokens.get()
        answer = await self._send(method, path, headers, content, token)
        if answer.status != 401:
            return answer
        await answer.aclose()
        token = await self._tokens.replace(token)
        answer = await self._send(method, path, headers, content, token)
        if answer.status == 401:
            raise self._tokens.refuse(token, detail=await self._said(answer))
        return answer

    async def fetch(
        self, method: str, path: str, *, headers: Headers = (), content: bytes = b"", limit: int = 32 << 20
    ) -> Answer:
        """Like `open()`, and read the whole answer, at most `limit` bytes."""
        answer = await self.open(method, path, headers=headers, content=content)
        return Answer(answer.status, answer.fields, await answer.read(limit))

    async def aclose(self) -> None:
        """End a renewal of the token."""
        if self._tokens is not None:
            await self._tokens.aclose()

    async def _send(self, method: str, path: str, headers: Headers, content: bytes, token: str | None) -> AnswerStream:
        # A new id for each attempt, so that their support can tell the attempts apart.
        fields = [self._client_id, (b"X-Request-ID", str(uuid.uuid4()).encode()), *headers]
        if token is not None:
            fields.append((b"Authorization", bearer(token)))
        return await self._upstream.open(method, path, headers=fields, content=content)

    async def _said(self, answer: AnswerStream) -> str:
        """What a refusal says, for the log."""
        words = Words.of(await answer.read(64 << 10), self.redact)
        return f"{words.detail(answer.status)} Request id {answer.headers.get('x-request-id')}."
