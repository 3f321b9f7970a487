"""The seam between the bytes of a client API and the requests and answers that providers know.

A dialect neither knows ASGI nor does any I/O. Whatever a client speaks, a provider is asked a `ChatRequest` or an
`EmbeddingsRequest`, and answers with a `ChatCompletion`, a `ChatStream` or an `EmbeddingList`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeAlias

from pydantic import BaseModel

from ..context import CLIENT_CREDENTIAL, CostEstimate
from ..envelopes import Envelope
from ..errors import InvalidRequest, XRouterError
from ..wire import ChatRequest, Document, EmbeddingsRequest, KeptResponse, Original
from ..wire.codec import encode
from .writers import EventWriter

Headers: TypeAlias = Sequence[tuple[bytes, bytes]]

_HEAD = re.compile(r"[^.\[]*")
_NO_WORD = re.compile(r"[^A-Za-z0-9_]")


class KeptConversation(Protocol):
    """How a request refers to answers that are kept, and how its own answer is kept."""

    def references(self, found: Mapping[str, KeptResponse], /) -> Sequence[str]:
        """The ids of the kept answers that it needs, as far as they follow from those that were found already.

        Raises:
            InvalidRequest: It needs too many.
        """
        ...

    def resolve(self, found: Mapping[str, KeptResponse], /, *, ttl: float | None, max_body: int) -> None:
        """Complete the request. A request without references is complete already.

        Args:
            found: What was found of all its references.
            ttl: The seconds for which answers are kept; None if none is.
            max_body: The most bytes that the request and all that it refers to may have.

        Raises:
            InvalidRequest: An answer that it needs is not there, or all of them are too much.
        """
        ...

    @property
    def kept(self) -> Sequence[KeptResponse]:
        """What to keep, once `whole` or the writer's `end` has written the answer."""
        ...


class ParsedRequest(Protocol):
    """One request, read from the client's JSON, and how its answer is written."""

    @property
    def request(self) -> ChatRequest | EmbeddingsRequest:
        """What a provider is asked."""
        ...

    @property
    def document(self) -> Document:
        """The JSON of `request` for providers: the client's own bytes where the client wrote this very JSON."""
        ...

    @property
    def original(self) -> Original | None:
        """What the client wrote, if `request` is a translation of it."""
        ...

    @property
    def warnings(self) -> Sequence[str]:
        """What the translation leaves out, and what `whole` had to make up, as words for `x-xrouter-warnings`."""
        ...

    @property
    def conversation(self) -> KeptConversation | None:
        """How it refers to other answers, in dialects whose answers can be kept."""
        ...

    @property
    def answer_type(self) -> type[Document]:
        """What a provider answers with, unless the client wants a stream."""
        ...

    def estimate(self) -> CostEstimate:
        """An upper bound of what the request can cost."""
        ...

    def whole(self, answer: Document, /) -> bytes:
        """The body for an answer of `answer_type`. Raises UpstreamError if the answer cannot be written."""
        ...

    def writer(self) -> EventWriter | None:
        """A new writer of the event stream that the client wants; None if it wants a whole answer."""
        ...


@dataclass(frozen=True, slots=True)
class Operation:
    """What the OpenAPI document says about a dialect.

    Attributes:
        id: Its `operationId`, which generators of clients turn into a name.
        tag: Under which it stands with others.
        request, answer: The models of the JSON that comes in and goes out.
        example, answered: A request, and a whole answer to it, as JSON.
        event: The schema of one event, if answers can be streamed.
        stream: An example of a streamed answer, as text.
    """

    id: str
    tag: str
    summary: str
    request: type[BaseModel]
    answer: type[BaseModel]
    example: dict[str, Any]
    answered: dict[str, Any]
    event: dict[str, Any] | None = None
    stream: str | None = None


class Objections:
    """Raises what refuses a request, or notes the first of it for whoever cannot do what the request needs.

    Args:
        noted: Whether there may be an upstream that can.
    """

    def __init__(self, *, noted: bool) -> None:
        self._noted = noted
        self.first: XRouterError | None = None

    def refuse(self, error: XRouterError) -> None:
        if not self._noted:
            raise error
        self.first = self.first or error


def brings_credential(headers: Headers) -> bool:
    """Whether a client pays an upstream by itself, if its model lets it."""
    return any(name == CLIENT_CREDENTIAL and value for name, value in headers)


def for_owner(shared: Original, passing: Document, warnings: Sequence[str], refusal: XRouterError | None) -> Original:
    """An original that an account of the caller's own is sent in another form.

    Args:
        shared: What accounts are sent that callers share.
        passing: What the caller's own is sent.
        warnings: What that leaves out.
        refusal: Why no account that callers share may be sent anything.
    """
    lacking = refusal or shared.untranslatable
    owned = replace(shared, forwarded=passing, warnings=warnings, untranslatable=lacking)
    return replace(shared, owned=owned) if refusal is None else replace(owned, dialect="", owned=owned)


def event_schema(data: str, *, name: str | None = None) -> dict[str, Any]:
    """The schema of one event, by what its data says and, if events have names, what a name is."""
    said = {"data": data} if name is None else {"event": name, "data": data}
    properties = {member: {"type": "string", "description": text} for member, text in said.items()}
    return {"type": "object", "required": list(properties), "properties": properties}


Reader: TypeAlias = Callable[[dict[str, Any], bytes, Headers], ParsedRequest]
"""Makes a request from the decoded JSON object, the body that held it and the client's headers."""


@dataclass(frozen=True, slots=True)
class Counting:
    """How clients of a dialect have the tokens of a request estimated before they send it.

    Attributes:
        path: Where they post it; the router also serves it below `/v1`.
        read: As `Dialect.read`.
        answer: The JSON for a number of tokens.
        operation: What the OpenAPI document says.
    """

    path: str
    read: Reader
    answer: Callable[[int], dict[str, Any]]
    operation: Operation


@dataclass(frozen=True, slots=True, eq=False)
class Dialect:
    """How one kind of client asks and wants to be answered.

    Attributes:
        name: The endpoint in logs, metrics and spans.
        path: Where clients post their requests; the router also serves it below `/v1`.
        scope: The scope that a key needs.
        read: Reads a request. Raises InvalidRequest.
        envelope: How clients are told errors.
        operation: What the OpenAPI document says.
        params: What the client calls those top-level members of the chat request that a translation renames.
        counting: How clients have their input counted, if they can.
    """

    name: str
    path: str
    scope: str
    read: Reader
    envelope: Envelope
    operation: Operation
    params: Mapping[str, str] = field(default_factory=dict)
    counting: Counting | None = None

    def named_back(self, error: XRouterError) -> XRouterError:
        """An error of a provider, with the `param` that the client wrote in place of the member of the translation."""
        head = _HEAD.match(error.param or "")
        renamed = self.params.get(head[0]) if head else None
        return error if renamed is None else error.but(param=renamed)


def translated(value: dict[str, Any]) -> ChatRequest:
    """The request of the chat JSON that a dialect wrote. Raises RuntimeError: to write anything else is a defect."""
    try:
        return ChatRequest.of(value)
    except InvalidRequest as error:
        raise RuntimeError(f"A translation is no request for chat: {error.param}, {error.code}") from error


def prompt_bound(size: int) -> int:
    """An upper bound of the tokens in so many bytes of JSON: one token is at least two bytes.

    This holds in every language for the tokenizers in use today.
    """
    return size // 2


def estimate_tokens(document: Document) -> int:
    """About how many tokens the messages and the tools of a chat request are: four bytes of JSON each, at least one."""
    said = [document.value.get(member) for member in ("messages", "tools")]
    return max(1, math.ceil(sum(len(encode(part)) for part in said if part) / 4))


def ignored(name: str) -> str:
    """The warning that a translation leaves out what has this name. A client may have chosen the name."""
    return f"{_NO_WORD.sub('_', name[:64])}_ignored"
