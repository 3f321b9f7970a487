"""`POST /v1/responses`, OpenAI's Responses: a request becomes a chat, and the answer of the chat a response."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar, Final, Self

from ...context import CostEstimate
from ...envelopes import openai
from ...errors import InvalidRequest, UpstreamError
from ...wire import ChatCompletion, ChatRequest, Document, KeptResponse, Original
from ...wire.answers import InputTokens, ResponseAnswer
from ...wire.codec import MAX_VALUES, count_values, decode, encode
from ...wire.responses import ResponsesRequest
from ..base import (
    Counting,
    Dialect,
    Headers,
    Objections,
    Operation,
    brings_credential,
    event_schema,
    for_owner,
    prompt_bound,
)
from .answer import Answer
from .document import ResponseObject
from .forwarded import forwarded, forwarded_to_owner
from .items import ChatMessages
from .references import Conversed, Recorded, conversed, items_of, native_items, recorded, references_of, to_keep
from .request import chat_members, ignored_members, refuse_unsupported, wants_logprobs
from .tools import ToolNames, chat_tools
from .writer import NativeResponses, ResponsesWriter

_NAME: Final = "responses"
_SEALS: Final = "reasoning.encrypted_content"


class ParsedResponses:
    """A request for a response, and the chat that it becomes.

    It is its own `KeptConversation`: if it refers to kept responses, `resolve` completes it.
    """

    answer_type: ClassVar[type[Document]] = ChatCompletion

    request: ChatRequest
    document: Document
    original: Original

    def __init__(self, value: dict[str, Any], body: bytes, *, own_account: bool) -> None:
        self._value = value
        self._native = Objections(noted=True)  # of what only an upstream that speaks Responses can do
        self._account = Objections(noted=own_account)  # of what names something that an upstream keeps
        self._own_account = own_account
        self._stem = os.urandom(24).hex()  # of the ids of the response and its items
        self._names = ToolNames()
        self._size = len(body)  # of all that becomes input
        self._stored = False
        self._ancestors: tuple[str, ...] = ()
        self._own: list[dict[str, Any]] = []  # the items to keep
        self._written = Document(value, body)
        self.warnings: Sequence[str] = ()
        self.kept: Sequence[KeptResponse] = ()

    @classmethod
    def read(cls, value: dict[str, Any], body: bytes, headers: Headers) -> Self:
        """Validate the JSON object, and translate it unless it refers to others. Raises InvalidRequest."""
        ResponsesRequest.of(value)
        parsed = cls(value, body, own_account=brings_credential(headers))
        refuse_unsupported(value, parsed._account)
        if not parsed.references({}):
            parsed._translate(Conversed((), [], items_of(value)), {})
        return parsed

    @property
    def conversation(self) -> Self:
        return self

    def references(self, found: Mapping[str, KeptResponse], /) -> Sequence[str]:
        return references_of(self._value, found)

    def resolve(self, found: Mapping[str, KeptResponse], /, *, ttl: float | None, max_body: int) -> None:
        if self.references({}):
            self._size += sum(kept.size for kept in found.values())
            self._check_size(found.values(), max_body)
            self._translate(conversed(self._value, found, ttl=ttl, account=self._account), recorded(found))
        elsewhere = self._account.first is not None  # a part of the conversation, which nobody would find here
        self._stored = ttl is not None and self._value.get("store") is not False and not elsewhere

    def estimate(self) -> CostEstimate:
        """The size of the body and of all that it refers to, and the bound that the client set to the output."""
        return CostEstimate(self.request.model, prompt_bound(self._size), self.request.max_completion_tokens)

    def whole(self, answer: Document, /) -> bytes:
        """The response, which the answer may be already."""
        if isinstance(answer, ChatCompletion) and answer.native is not None:
            self._keep_native(answer.native)
            return answer.native
        if not answer.value.get("choices"):
            raise UpstreamError("The upstream's answer holds no choice.", code="empty_answer")
        said = self._answer()
        said.take(answer)
        said.end()
        response = self._response().ended(said)
        self._keep(response)
        return response

    def writer(self) -> NativeResponses | None:
        """A writer if the request says `"stream": true`."""
        if not self._value.get("stream"):
            return None
        decoding = wants_logprobs(self._value)
        writer = ResponsesWriter(self._response(), self._answer(), decoding=decoding, ended=self._keep)
        return NativeResponses(writer, ended=self._keep_native)

    def _check_size(self, brought: Collection[KeptResponse], max_body: int) -> None:
        """Raise InvalidRequest if the conversation is larger than a body may be."""
        texts = [self._written.data, *(text for kept in brought for text in (kept.input, kept.response))]
        if self._size > max_body or sum(map(count_values, texts)) > MAX_VALUES:
            message = "The conversation that this request continues is too long. Send the end of it in 'input'."
            raise InvalidRequest(message, code="context_length_exceeded", param="input")

    def _translate(self, conversation: Conversed, known: Recorded) -> None:
        value, warnings = self._value, ignored_members(self._value)
        # Tools before the calls, which may name tools that are gone.
        tools = chat_tools(value, self._names, warnings, native=self._native, account=self._account)
        messages = ChatMessages(value.get("instructions"), self._names, warnings, self._account)
        for item in conversation.earlier:
            messages.take(item, "previous_response_id")
        for place, item in enumerate(conversation.own):
            messages.take(item, f"input[{place}]")
        said = messages.end()
        if not said:
            message = "Invalid value for 'input': nothing in it can be said to a model."
            self._account.refuse(InvalidRequest(message, code="empty_array", param="input"))
            said = [{"role": "user", "content": ""}]
        chat = {**chat_members(value), "messages": said, **tools}
        try:
            self.request = ChatRequest.of(chat)
        except InvalidRequest as error:
            raise AssertionError(f"a translation is no chat request: {error.code} of {error.param}") from None
        self.document = Document(chat)
        self.original = self._original(conversation, known)
        self.warnings = warnings
        self._size += messages.seals.size
        self._ancestors, self._own = conversation.ancestors, conversation.own

    def _original(self, conversation: Conversed, known: Recorded) -> Original:
        """What an upstream is sent that speaks Responses."""
        written = self._written
        shared = Original(_NAME, written, self.document, *forwarded(written, conversation, known), self._native.first)
        if not self._own_account:
            return shared
        return for_owner(shared, *forwarded_to_owner(written, conversation, known), self._account.first)

    def _answer(self) -> Answer:
        return Answer(self._stem, self._names, sealing=_SEALS in (self._value.get("include") or ()))

    def _response(self) -> ResponseObject:
        return ResponseObject(self._value, id=f"resp_{self._stem}", stored=self._stored)

    def _keep(self, response: bytes) -> None:
        if self._stored:
            own = encode(to_keep(self._own, self._stem))
            self.kept = [KeptResponse(f"resp_{self._stem}", self._ancestors, own, response)]

    def _keep_native(self, response: bytes) -> None:
        value = decode(response)
        if self._stored and isinstance(id := value.get("id"), str) and isinstance(value.get("output"), list):
            own = encode(to_keep(self._own, self._stem))
            self.kept = [KeptResponse(id, self._ancestors, own, response), *native_items(value)]


_EXAMPLE: Final = {"model": "echo", "input": "Say hello.", "stream": False}

RESPONSES = Dialect(
    name=_NAME,
    path="/responses",
    scope="chat",
    read=ParsedResponses.read,
    envelope=openai,
    operation=Operation(
        id="createResponse",
        tag="Responses",
        summary="Answer a conversation that is made of items",
        request=ResponsesRequest,
        answer=ResponseAnswer,
        example=_EXAMPLE,
        answered={
            "id": "resp_1",
            "object": "response",
            "created_at": 1,
            "status": "completed",
            "model": "echo",
            "output": [
                {
                    "id": "msg_1",
                    "type": "message",
                    "status": "completed",
                    "role": "assistant",
                    "content": [{"type": "output_text", "text": "Hello.", "annotations": [], "logprobs": []}],
                }
            ],
            "usage": {
                "input_tokens": 3,
                "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
                "output_tokens": 2,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": 5,
            },
        },
        event=event_schema(
            "JSON with `type` and `sequence_number`. The last one is of the type `response.completed`, "
            "`response.incomplete` or `response.failed`.",
            name="The `type` of the JSON in `data`.",
        ),
        stream=(
            'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","sequence_number":4,'
            '"item_id":"msg_1","output_index":0,"content_index":0,"delta":"Hello","logprobs":[]}\n\n'
        ),
    ),
    params={
        "messages": "input",
        "max_completion_tokens": "max_output_tokens",
        "max_tokens": "max_output_tokens",
        "response_format": "text.format",
        "reasoning_effort": "reasoning.effort",
    },
    counting=Counting(
        path="/responses/input_tokens",
        read=ParsedResponses.read,
        answer=lambda tokens: {"object": "response.input_tokens", "input_tokens": tokens},
        operation=Operation(
            id="countResponseInputTokens",
            tag="Responses",
            summary="Estimate the tokens of a request for a response",
            request=ResponsesRequest,
            answer=InputTokens,
            example=_EXAMPLE,
            answered={"object": "response.input_tokens", "input_tokens": 3},
        ),
    ),
)
