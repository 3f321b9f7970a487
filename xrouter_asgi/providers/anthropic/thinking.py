"""How much a model thinks, and what it thought earlier."""

from __future__ import annotations

from typing import Any

from ...context import matches
from ...wire import ChatRequest
from .blocks import Block
from .diagnostics import invalid, unsupported_value
from .options import AnthropicOptions

_EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max"}
_BUDGETS = {"low": 4096, "medium": 16384}
_LARGEST_BUDGET = 32768
_SMALLEST_BUDGET = 1024  # https://docs.claude.com/en/docs/build-with-claude/extended-thinking
_IGNORED = "reasoning_effort_ignored"


def thinking_blocks(extra: dict[str, Any], warnings: list[str]) -> list[Block]:
    """The thinking of an earlier answer, which comes back as it went out: signed, in `thinking_blocks`.

    Text without a signature, in `reasoning_content` and `reasoning`, is refused by the API, so it is left out.
    """
    told = extra.get("thinking_blocks")
    blocks: list[Block] = []
    for block in told if isinstance(told, list) else ():
        match block:
            case {"type": "thinking", "thinking": str(text), "signature": str(signature)}:
                blocks.append({"type": "thinking", "thinking": text, "signature": signature})
            case {"type": "redacted_thinking", "data": str(data)}:
                blocks.append({"type": "redacted_thinking", "data": data})
            case _:
                warnings.append("thinking_blocks_ignored")
    if not blocks and (extra.get("reasoning_content") or extra.get("reasoning")):
        warnings.append("reasoning_content_ignored")
    return blocks


class ThinkingPlan:
    """What a request says about thinking, for one model.

    Args:
        forced: Whether the model has to call a tool, which cannot be combined with thinking.
        unsigned: Whether it goes on behind calls that it made without thinking, which cannot be combined with a budget.
        warnings: Gets what is left out.

    Attributes:
        members: Members of the body.
        effort: For `output_config`.
        limit: The bound on the output, thinking included.
    """

    def __init__(
        self,
        request: ChatRequest,
        model: str,
        options: AnthropicOptions,
        *,
        forced: bool,
        unsigned: bool,
        warnings: list[str],
    ) -> None:
        self.members: dict[str, Any] = {}
        self.effort: str | None = None
        given = request.max_completion_tokens or request.max_tokens
        self.limit = given or options.max_tokens
        effort, own = request.reasoning_effort, (request.model_extra or {}).get("thinking")
        if effort is not None and effort not in (*_EFFORTS, "none"):
            raise invalid("reasoning_effort", f"expected one of none, {', '.join(_EFFORTS)}")
        if own is not None:
            self.members = {"thinking": _checked(own)}  # the upstream's own parameter
        if effort is None:
            return
        if not any(matches(pattern, model) for pattern in options.reasoning_models):
            warnings.append(_IGNORED)
        elif effort == "none":
            self.members = self.members or {"thinking": {"type": "disabled"}}
        elif not any(matches(pattern, model) for pattern in options.budget_models):
            self.effort = _EFFORTS[effort]
            if not self.members and not forced:
                self.members = {"thinking": {"type": "adaptive", "display": "summarized"}}
        elif not self.members:
            self._spend(
                _BUDGETS.get(_EFFORTS[effort], _LARGEST_BUDGET), given, warnings, possible=not (forced or unsigned)
            )

    @property
    def thinks(self) -> bool:
        return self.members.get("thinking", {}).get("type") in ("adaptive", "enabled")

    def _spend(self, budget: int, given: int | None, warnings: list[str], *, possible: bool) -> None:
        """Think for so many tokens, or for half of what the client allows in all."""
        if given is None:
            self.limit += budget
        else:
            budget = min(budget, max(given // 2, _SMALLEST_BUDGET))
        if possible and budget < self.limit:
            self.members = {"thinking": {"type": "enabled", "budget_tokens": budget}}
        else:
            self.limit = self.limit if given is not None else self.limit - budget
            warnings.append(_IGNORED)


def _checked(own: object) -> dict[str, Any]:
    if isinstance(own, dict) and isinstance(own.get("type"), str):
        return own
    raise unsupported_value("thinking", "expected an object with 'type', as in the Messages API")
