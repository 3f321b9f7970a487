"""How one OpenAI-compatible upstream differs from OpenAI's own API."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAIOptions:
    """What an upstream makes of translated requests. What a client of chat wrote itself goes up as it is.

    Attributes:
        output_limit: The parameter that bounds the output. By default `max_completion_tokens` at OpenAI and Azure, else
            `max_tokens`, which is all that many other servers know.
        late_system: The role of system messages behind the first other message. Many chat templates take one system
            message, in front; `user` writes the others as `[system] …`.
        reasoning: The member of a message in which earlier reasoning goes back; `off` leaves it out, for upstreams that
            refuse a member they do not know (Groq, Mistral).
        reasoning_models: The upstream's names of models that take `reasoning_effort`, or patterns with one `*`. Agents
            send it to every model, and models that do not reason refuse it.
        prompt_cache_key: Send `prompt_cache_key`, which strict APIs refuse.
        completions: Send legacy completions to `/completions`, rather than as chats.
    """

    output_limit: Literal["max_tokens", "max_completion_tokens"] | None = None
    late_system: Literal["system", "user"] = "system"
    reasoning: Literal["reasoning_content", "reasoning", "off"] = "reasoning_content"
    reasoning_models: Sequence[str] = ("gpt-5*", "o1*", "o3*", "o4*")
    prompt_cache_key: bool = False
    completions: bool = True

    def __post_init__(self) -> None:
        if (pattern := next((each for each in self.reasoning_models if each.count("*") > 1), None)) is not None:
            raise ValueError(f"reasoning_models holds {pattern!r}. Give names, or patterns with one '*'.")
