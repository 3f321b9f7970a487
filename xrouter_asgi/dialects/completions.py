"""`POST /v1/completions`, OpenAI's legacy Completions: a text that the model continues.

An upstream that has this API is sent what the client wrote. For any other the prompt becomes one user message, if the
request asks for nothing else that chat lacks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from ..context import CostEstimate
from ..envelopes import openai
from ..errors import InvalidRequest, UnsupportedOperation, XRouterError
from ..wire import ChatChunk, ChatCompletion, ChatRequest, Document, Original
from ..wire.codec import encode
from ..wire.completions import DEFAULT_MAX_TOKENS, MAX_CHOICES, CompletionAnswer, CompletionRequest
from ..wire.sse import DONE, encode_event
from .base import Dialect, Headers, Operation, event_schema, prompt_bound
from .writers import DataEvents

_NOT_IN_CHAT = ("suffix", "echo", "best_of", "logprobs")
_SAYS_NOTHING: dict[str, Any] = {"suffix": "", "echo": False, "best_of": 1}  # null apart


@dataclass(slots=True)
class ParsedCompletion:
    """A legacy completion request, and the chat request that says the same as far as chat can."""

    answer_type: ClassVar[type[Document]] = ChatCompletion
    warnings: ClassVar[tuple[str, ...]] = ()
    conversation: ClassVar[None] = None

    request: ChatRequest
    document: Document
    original: Original
    made: int  # answers that the upstream makes, also those that it does not return

    @classmethod
    def read(cls, value: dict[str, Any], body: bytes, headers: Headers) -> Self:
        """Validate the JSON object. Raises InvalidRequest."""
        asked = CompletionRequest.of(value)
        document = Document(_as_chat(asked, value))
        written = Document(value, body)
        original = Original("completions", written, document, written, untranslatable=_untranslatable(asked, value))
        made = max(asked.n or 1, asked.best_of or 1) * len(asked.prompts)
        return cls(ChatRequest.of(document.value), document, original, made)

    def estimate(self) -> CostEstimate:
        """The size of the body, and the bound on the output of all answers that are made."""
        request = self.request
        bound = (request.max_tokens or DEFAULT_MAX_TOKENS) * self.made
        return CostEstimate(request.model, prompt_bound(len(self.original.document.data)), bound, self.made)

    def whole(self, answer: Document, /) -> bytes:
        """The answer as `object: "text_completion"`."""
        value = answer.value
        return encode({**value, "object": "text_completion", "choices": [*map(_text_choice, value["choices"])]})

    def writer(self) -> CompletionWriter | None:
        """A writer if the request says `"stream": true`."""
        return CompletionWriter(include_usage=self.request.include_usage) if self.request.stream else None


class CompletionWriter(DataEvents):
    """Writes each chunk as an event with its text, then the usage if the client asked for it, and `[DONE]`."""

    def __init__(self, *, include_usage: bool) -> None:
        self._include_usage = include_usage
        self._usage: dict[str, Any] | None = None
        self._head: dict[str, Any] = {}

    def feed(self, chunks: Sequence[ChatChunk], /) -> bytes:
        """The chunks as events. Those that add no text to a choice and end none tell the client nothing."""
        return b"".join([self._encode(chunk) for chunk in chunks])

    def end(self) -> bytes:
        """The usage if the client asked for it, and `[DONE]`."""
        if self._usage is None or not self._include_usage:
            return DONE
        return encode_event(encode({**self._head, "choices": [], "usage": self._usage})) + DONE

    def _encode(self, chunk: ChatChunk) -> bytes:
        if chunk.text is not None:
            if chunk.member != "content":
                return b""
            choices = [{"text": chunk.text, "index": 0, "logprobs": None, "finish_reason": None}]
            return encode_event(encode({**self._head, "choices": choices}))
        value = chunk.value
        self._usage = value.get("usage") or self._usage
        self._head = {
            **{name: value[name] for name in ("id", "created", "model") if name in value},
            "object": "text_completion",
        }
        choices = [_text_choice(choice) for choice in value["choices"]]
        choices = [each for each in choices if each["text"] or each["logprobs"] or each["finish_reason"]]
        return encode_event(encode({**self._head, "choices": choices})) if choices else b""


def _as_chat(asked: CompletionRequest, value: dict[str, Any]) -> dict[str, Any]:
    """The chat request: the prompts as messages of the user, and what both APIs call alike."""
    prompts = asked.prompts
    choices = (asked.n or 1) * len(prompts)
    if choices > MAX_CHOICES:
        raise InvalidRequest(
            f"{len(prompts)} prompts with 'n' {asked.n} make {choices} choices. Ask for at most {MAX_CHOICES}.",
            code="integer_above_max_value",
            param="n",
        )
    members = {name: member for name, member in value.items() if name not in ("prompt", *_NOT_IN_CHAT)}
    messages = [
        {"role": "user", "content": prompt if isinstance(prompt, str) else encode(prompt).decode()}
        for prompt in prompts
    ]
    return {
        **members,
        "messages": messages,
        "max_tokens": asked.max_tokens or DEFAULT_MAX_TOKENS,
        **({"n": choices} if choices > 1 else {}),
    }


def _untranslatable(asked: CompletionRequest, value: dict[str, Any]) -> XRouterError | None:
    """Why the chat request does not say all that the client wrote; None if it does."""
    names = (name for name in _NOT_IN_CHAT if value.get(name) not in (None, _SAYS_NOTHING.get(name)))
    param, what = next(names, None), "a parameter that chat lacks"
    if param is None:
        if len(asked.prompts) == 1 and isinstance(asked.prompts[0], str):
            return None
        param, what = "prompt", "several texts, or tokens"
    return UnsupportedOperation(
        f"'{param}' is {what}, and the upstream of the model '{asked.model}' has no legacy completions. "
        "Use POST /v1/chat/completions, or a model whose upstream has /v1/completions.",
        param=param,
        falls_back=True,
    )


def _text_choice(choice: dict[str, Any]) -> dict[str, Any]:
    """A choice of a chat, whole or in pieces, as one of a completion."""
    said = choice.get("message") or choice.get("delta") or {}
    others = {name: member for name, member in choice.items() if name not in ("message", "delta")}
    return {"text": said.get("content") or "", "index": 0, "logprobs": None, "finish_reason": None, **others}


COMPLETIONS = Dialect(
    name="completions",
    path="/completions",
    scope="chat",
    read=ParsedCompletion.read,
    envelope=openai,
    operation=Operation(
        id="createCompletion",
        tag="Chat",
        summary="Continue a text (legacy)",
        request=CompletionRequest,
        answer=CompletionAnswer,
        example={"model": "echo", "prompt": "Once upon a time", "max_tokens": 50, "stream": False},
        answered={
            "id": "cmpl-1",
            "object": "text_completion",
            "created": 1,
            "model": "echo",
            "choices": [{"text": " there was", "index": 0, "logprobs": None, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6},
        },
        event=event_schema("A text_completion or an error envelope as JSON, or `[DONE]`."),
        stream=(
            'data: {"id":"cmpl-1","object":"text_completion","created":1,"model":"echo","choices":'
            '[{"text":" there","index":0,"logprobs":null,"finish_reason":null}]}\n\ndata: [DONE]\n\n'
        ),
    ),
)
