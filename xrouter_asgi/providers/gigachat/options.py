"""What an operator may choose about the translation between the two dialects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

StructuredOutput: TypeAlias = Literal["native", "function", "prompt"]


@dataclass(frozen=True, slots=True)
class GigaChatOptions:
    """Choices where GigaChat's stands differ, or where OpenAI's dialect can only be approximated.

    Attributes:
        strict: Answer 400 where otherwise something would be ignored or emulated with a warning.
        aliases: The name a client or a target uses for a model -> GigaChat's name for it.
        structured_output: How to ask for `json_schema`. `auto` tries `native` and remembers what each model refused.
        empty_content: The `content` of an assistant message that only calls a function.
        late_system: A system message after the first user message joins the one system message there can be, or
            becomes a user message.
        replay_state: Send `functions_state_id` back with the calls in the history. Some older stands refuse it.
        reasoning_models: GigaChat's names of models that take `reasoning_effort`, or patterns with one `*`.
        max_tokens: The model's maximum, above which `max_tokens` is lowered. By default any number is sent on.
        attachment_text: The text beside a picture, recording or document that comes without words of its own.
    """

    strict: bool = False
    aliases: Mapping[str, str] = field(default_factory=dict)
    structured_output: Literal["auto", "native", "function", "prompt"] = "auto"
    empty_content: Literal["empty", "null", "omit"] = "empty"
    late_system: Literal["merge", "user"] = "merge"
    replay_state: bool = True
    reasoning_models: Sequence[str] = ("*-Reasoning", "*-Reasoning-preview")
    max_tokens: int | None = None
    attachment_text: str = "See the attachment."

    def __post_init__(self) -> None:
        if (pattern := next((each for each in self.reasoning_models if each.count("*") > 1), None)) is not None:
            raise ValueError(f"reasoning_models holds {pattern!r}. Give names, or patterns with one '*'.")
        if self.max_tokens is not None and self.max_tokens < 1:
            raise ValueError(f"max_tokens is {self.max_tokens}. Give a number above 0, or None for no maximum.")
        if not self.attachment_text.strip():
            raise ValueError("attachment_text is blank. GigaChat needs a text beside every attachment.")
