"""The shapes of answers: for `router.chat`, for the OpenAPI document, for tests. What a client gets is not parsed."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class ClosedAnswerModel(BaseModel):
    # Only those who ask for the OpenAPI document have to wait for these.
    model_config = ConfigDict(defer_build=True)


class AnswerModel(ClosedAnswerModel):
    model_config = ConfigDict(extra="allow")


class ErrorBody(ClosedAnswerModel):
    message: str
    type: str
    param: str | None
    code: str | None


class ErrorEnvelope(ClosedAnswerModel):
    """Every answer that is not a 2xx, and the last event of a stream that broke."""

    error: ErrorBody


class CalledFunction(AnswerModel):
    name: str
    arguments: str


class AnsweredToolCall(AnswerModel):
    id: str
    type: str
    function: CalledFunction | None = None


class AnswerMessage(AnswerModel):
    role: Literal["assistant"]
    content: str | None
    refusal: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[AnsweredToolCall] | None = None


class Choice(AnswerModel):
    index: int
    message: AnswerMessage
    finish_reason: str


class TokenUsage(AnswerModel):
    prompt_tokens: int
    completion_tokens: int | None = None
    total_tokens: int


class ChatCompletionAnswer(AnswerModel):
    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[Choice]
    usage: TokenUsage | None = None


class OutputItemAnswer(AnswerModel):
    type: Literal["message", "reasoning", "function_call", "custom_tool_call"]
    id: str


class InputTokenDetails(ClosedAnswerModel):
    cached_tokens: int
    cache_write_tokens: int


class OutputTokenDetails(ClosedAnswerModel):
    reasoning_tokens: int


class ResponseUsage(ClosedAnswerModel):
    input_tokens: int
    input_tokens_details: InputTokenDetails
    output_tokens: int
    output_tokens_details: OutputTokenDetails
    total_tokens: int


class ResponseAnswer(AnswerModel):
    id: str
    object: Literal["response"]
    created_at: int
    status: Literal["completed", "incomplete"]
    model: str
    output: list[OutputItemAnswer]
    usage: ResponseUsage | None


class InputTokens(ClosedAnswerModel):
    object: Literal["response.input_tokens"]
    input_tokens: int


class InputItems(ClosedAnswerModel):
    """A page of the input items of a response."""

    object: Literal["list"]
    data: list[dict[str, Any]]
    first_id: str | None
    last_id: str | None
    has_more: bool


class DeletedResponse(ClosedAnswerModel):
    id: str
    object: Literal["response"]
    deleted: Literal[True]


class MessageBlock(AnswerModel):
    """`text`, `thinking` or `tool_use`."""

    type: Literal["text", "thinking", "tool_use"]
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    id: str | None = None
    name: str | None = None
    input: dict[str, Any] | None = None


class MessageUsage(AnswerModel):
    input_tokens: int
    cache_creation_input_tokens: int
    cache_read_input_tokens: int
    output_tokens: int


class MessagesAnswer(AnswerModel):
    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: list[MessageBlock]
    stop_reason: Literal["end_turn", "max_tokens", "tool_use", "refusal"]
    stop_sequence: str | None
    usage: MessageUsage


class TokenCount(AnswerModel):
    input_tokens: int


class AnthropicErrorBody(ClosedAnswerModel):
    type: str
    message: str


class AnthropicErrorEnvelope(ClosedAnswerModel):
    """What Anthropic's clients are told in place of an answer."""

    type: Literal["error"]
    error: AnthropicErrorBody
    request_id: str


class Vector(AnswerModel):
    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingsAnswer(AnswerModel):
    object: Literal["list"]
    model: str
    data: list[Vector]
    usage: TokenUsage | None = None


class Model(AnswerModel):
    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    max_model_len: int | None = None


class ModelsAnswer(ClosedAnswerModel):
    object: Literal["list"]
    data: list[Model]


class AnthropicModel(AnswerModel):
    type: Literal["model"]
    id: str
    display_name: str
    created_at: str
    lifecycle: Literal["active"]
    max_input_tokens: int | None


class AnthropicModelsAnswer(ClosedAnswerModel):
    """The list for who sends `anthropic-version`. The query may hold `limit`, `after_id` and `before_id`."""

    data: list[AnthropicModel]
    has_more: bool
    first_id: str | None
    last_id: str | None


class NoModelsAnswer(ClosedAnswerModel):
    """The list for Codex, which sends `client_version` in the query and knows its models by itself."""

    models: Annotated[list[Any], Field(max_length=0)]


class Status(ClosedAnswerModel):
    status: Literal["ok", "ready"]


class ChunkFunction(AnswerModel):
    name: str | None = None
    arguments: str | None = None


class ChunkToolCall(AnswerModel):
    index: int
    id: str | None = None
    type: str | None = None
    function: ChunkFunction | None = None


class Delta(AnswerModel):
    role: str | None = None
    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[ChunkToolCall] | None = None


class ChunkChoice(AnswerModel):
    index: int
    delta: Delta
    finish_reason: str | None = None


class ChatChunkAnswer(AnswerModel):
    """One piece of a streamed answer."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: TokenUsage | None = None


class UsageTotals(AnswerModel):
    """The cost is a text, so that nothing is rounded. Requests without a price are not in it."""

    cost: str
    requests: int
    failed_requests: int
    unpriced_requests: int
    input_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int


class BudgetAnswer(ClosedAnswerModel):
    limit: str
    per: str
    model: str | None
    remaining: str
    reset: str


class UsageAnswer(UsageTotals):
    """What a key has used: all together, by what was asked for, and how far its budgets are used up."""

    object: Literal["usage"]
    since: str
    until: str
    currency: str
    data: list[UsageTotals]
    budgets: list[BudgetAnswer]
