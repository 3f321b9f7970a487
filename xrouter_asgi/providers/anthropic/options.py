"""What an operator may choose about the translation between chat and the Messages API."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

_WITH_BUDGETS = (
    "claude-3-7-*",
    "claude-sonnet-4-0*",
    "claude-sonnet-4-2*",
    "claude-opus-4-0*",
    "claude-opus-4-1*",
    "claude-opus-4-2*",
    "claude-haiku-4-5*",
    "claude-opus-4-5*",
    "claude-sonnet-4-5*",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnthropicOptions:
    """Choices where models and upstreams differ.

    Attributes:
        max_tokens: The bound on the output of requests that set none, because the Messages API needs one.
        cache: `auto` marks the instructions and the tools to be cached, unless the client has marked something itself.
        late_system: The role of system messages behind the first other message. `user` writes them as `[system] …`,
            which every model takes; `system` is for models that take that role among the others.
        reasoning_models: The upstream's names of models that take `reasoning_effort`, or patterns with one `*`.
        budget_models: Those of them that are told how much to think in tokens, as Claude was up to 4.5.
    """

    max_tokens: int = 8192
    cache: Literal["off", "auto"] = "off"
    late_system: Literal["system", "user"] = "user"
    reasoning_models: Sequence[str] = ("claude-*",)
    budget_models: Sequence[str] = _WITH_BUDGETS

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise ValueError(f"max_tokens is {self.max_tokens}. Give a number above 0.")
        for name, patterns in (("reasoning_models", self.reasoning_models), ("budget_models", self.budget_models)):
            if (pattern := next((each for each in patterns if each.count("*") > 1), None)) is not None:
                raise ValueError(f"{name} holds {pattern!r}. Give names, or patterns with one '*'.")
