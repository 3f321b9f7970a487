"""`POST /v1/completions`: the request of OpenAI's legacy API (API description of August 2026), and its answers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from .answers import AnswerModel, TokenUsage
from .chat import Stop, StreamOptions
from .embeddings import Tokens, text_or_tokens
from .validation import WireModel
from .values import Flag, Integer, LogitBias, ModelName, Penalty, Seed, Text

MAX_CHOICES = 128  # of all prompts together, as many as one chat may have
DEFAULT_MAX_TOKENS = 16


class CompletionRequest(WireModel):
    """One prompt or several, as texts or as tokens. Unknown members stay in `model_extra`."""

    model: ModelName
    prompt: Annotated[
        Annotated[Text, Tag("<text>")]
        | Annotated[list[Text], Field(min_length=1, max_length=MAX_CHOICES), Tag("<texts>")]
        | Annotated[Tokens, Tag("<tokens>")]
        | Annotated[list[Tokens], Field(min_length=1, max_length=MAX_CHOICES), Tag("<token lists>")],
        Discriminator(text_or_tokens),
    ]
    suffix: Text | None = None
    stream: Flag | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[Integer, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(strict=True, ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(strict=True, ge=0, le=1)] | None = None
    n: Annotated[Integer, Field(ge=1, le=MAX_CHOICES)] | None = None
    best_of: Annotated[Integer, Field(ge=1, le=MAX_CHOICES)] | None = None
    echo: Flag | None = None
    logprobs: Annotated[Integer, Field(ge=0, le=5)] | None = None
    stop: Stop | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: LogitBias | None = None
    seed: Seed | None = None
    user: Text | None = None

    @property
    def prompts(self) -> list[str] | list[list[int]]:
        """The prompts, also if there is only one."""
        prompt = self.prompt
        if isinstance(prompt, str):
            return [prompt]
        return [prompt] if isinstance(prompt[0], int) else prompt

    @property
    def include_usage(self) -> bool:
        """Whether the client wants the usage at the end of a stream."""
        return bool(self.stream and self.stream_options and self.stream_options.include_usage)


class TextChoice(AnswerModel):
    text: str
    index: int
    finish_reason: str


class CompletionAnswer(AnswerModel):
    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[TextChoice]
    usage: TokenUsage | None = None
