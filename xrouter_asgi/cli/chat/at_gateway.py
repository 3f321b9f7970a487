"""A model at a running gateway."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import httpx

from ..gateway import GatewayError
from .asked import AnswerFacts, SaidMessage, pieces, request_of

_TIMEOUTS = httpx.Timeout(10.0, read=600.0)  # seconds; the gateway has time-outs of its own
_DATA = "data: "
_END = "[DONE]"


class ModelAtGateway:
    """Asks for a chat as any client does.

    Args:
        url: Of the gateway, without `/v1`.
        key: One of its keys, or anything if it asks for none.
        name: Of the model.
    """

    def __init__(self, url: str, key: str, name: str) -> None:
        self.name = name
        self._client = httpx.AsyncClient(
            base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=_TIMEOUTS, follow_redirects=False
        )

    async def ask(self, messages: Sequence[SaidMessage], facts: AnswerFacts) -> AsyncIterator[str]:
        """See `AskedModel.ask`."""
        request = request_of(self.name, messages)
        try:
            async with self._client.stream("POST", "/v1/chat/completions", json=request) as answer:
                if answer.status_code != 200:
                    raise GatewayError(_refusal(answer.status_code, await answer.aread()))
                facts.target = _target(answer.headers)
                async for line in answer.aiter_lines():
                    if line.startswith(_DATA) and (data := line.removeprefix(_DATA)) != _END:
                        for piece in pieces(_chunk(data), facts):
                            yield piece
        except httpx.HTTPError as error:
            raise GatewayError(f"The connection to the gateway broke: {type(error).__name__} {error}") from error

    async def aclose(self) -> None:
        await self._client.aclose()


def _target(headers: Mapping[str, str]) -> str:
    return "/".join(filter(None, (headers.get("x-xrouter-provider"), headers.get("x-xrouter-model"))))


def _chunk(data: str) -> dict[str, Any]:
    """Read an event. Raises GatewayError for one that tells an error."""
    value: dict[str, Any] = json.loads(data)
    if "error" in value:
        raise GatewayError(f"The answer broke off: {value['error']['message']}")
    return value


def _refusal(status: int, body: bytes) -> str:
    try:
        return f"The gateway says: {json.loads(body)['error']['message']}"
    except (ValueError, LookupError, TypeError):
        return f"What is there is no gateway: it answers with status {status}."
