"""Why a request went where it went, and what it took there: the record that explains one routing decision.

It holds names from the configuration, words, numbers and times. Prompts, answers, headers, addresses and the messages
of errors are never in it, so it may be logged and shown to the caller.
"""

from __future__ import annotations

import json
import time
from asyncio import CancelledError
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal, NamedTuple, TypeAlias

from .conventions import error_type
from .errors import ModelNotFound, XRouterError

MOST_NAMED = 32
"""Candidates that a span or a line of a log names; a model may have any number."""

LARGEST_COUNT = 2**30  # far above what one request can take; a wrong count must not owe more than anybody can pay

_LONGEST = 128  # characters of a model's name, which a client may have chosen, or of a reason, which a host may
_LONGEST_TOKEN = 128  # characters: as many blanks are one token of OpenAI's o200k_base
_RESPONSES = {"prompt": "input_tokens_details", "completion": "output_tokens_details"}
_MOST = 4000  # bytes of JSON: it must fit into a header (see responses.header)


class Usage(NamedTuple):
    """Tokens as the upstream counted them. Zero is a count; when the count is unknown, there is no `Usage`."""

    prompt_tokens: int  # all input, cached tokens included
    completion_tokens: int = 0  # all output, reasoning included
    cached_tokens: int = 0  # of the input, what the upstream had in its cache
    cache_write_tokens: int = 0  # of the input, what the upstream put into its cache
    reasoning_tokens: int = 0  # of the output, what the upstream thought and did not say
    cache_write_1h_tokens: int = 0  # of those put into the cache, what stays there for an hour

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    @classmethod
    def read(cls, value: object) -> Usage | None:
        """Read the `usage` of an OpenAI answer. None when it is absent or holds no count.

        One of two counts may be told by the total alone, and both by the names of OpenAI's Responses.
        """
        if not isinstance(value, dict):
            return None
        prompt, completion = value.get("prompt_tokens"), value.get("completion_tokens")
        if (
            len(value) == 3
            and "total_tokens" in value  # as nearly always: these two, and their total
            and (type(prompt) is int and 0 <= prompt <= LARGEST_COUNT)
            and (type(completion) is int and 0 <= completion <= LARGEST_COUNT)
        ):
            return cls(prompt, completion)
        prompt = _either(value, "prompt_tokens", "input_tokens")
        completion = _either(value, "completion_tokens", "output_tokens")
        total = _count(value.get("total_tokens"))
        if prompt is None and completion is not None and total is not None:
            prompt = max(total - completion, 0)
        if prompt is None:
            return None
        if completion is None:
            completion = max((total or 0) - prompt, 0)
        reasoning = _detail(value, "completion", "reasoning_tokens")
        if reasoning and total == prompt + completion + reasoning:
            completion += reasoning  # xAI counts it apart
        cached, written, for_an_hour = _cache_tokens(value)
        return cls(prompt, completion, cached, written, reasoning, for_an_hour)

    def covers(self, characters: int) -> bool:
        """Whether an answer of so many characters can have been counted so: no token is longer than 128 of them."""
        return characters <= _LONGEST_TOKEN * self.completion_tokens


class Cost(NamedTuple):
    """What a request cost."""

    amount: int  # nano-units of the currency of the prices
    estimated: bool = False  # an upstream has not counted what it took
    priced: bool = True  # each target that took something has a price; where it has none, the amount lacks that


@dataclass(slots=True, eq=False)
class Attempt:
    """One call to one upstream. Times are seconds of `time.perf_counter()`.

    Attributes:
        first: When the upstream committed itself: its answer, or the first chunk of its stream, was here.
        error: What it failed with; `CancelledError` if the client left.
        usage: What the upstream counted, also for an answer that no client gets; None if it has not.
    """

    provider: str
    model: str
    started: float = field(default_factory=time.perf_counter)
    first: float | None = None
    ended: float | None = None
    error: BaseException | None = None
    usage: Usage | None = None

    @property
    def hint(self) -> str | None:
        """What the operator can do about its failure; None where the error says it all."""
        if not isinstance(self.error, ModelNotFound):
            return None
        unknown = f"the provider '{self.provider}' has no model '{self.model[:_LONGEST]}'"
        return f"{unknown}; map it with Target(provider, model=...) or 'targets' in the settings"

    @property
    def target(self) -> str:
        """`provider/model`; of the model, which a client may have chosen, no more than 128 characters."""
        return f"{self.provider}/{self.model[:_LONGEST]}"


UnreadyKind: TypeAlias = Literal[
    "circuit_open", "cooling", "queue_full", "capability", "unpriced", "own_key", "retry_budget", "closed"
]


@dataclass(frozen=True, slots=True)
class Unready:
    """Why a provider does not take a call now.

    Attributes:
        until: When that is over, in seconds of the event loop's clock; None if nobody can say.
        text: The same for people to read, such as `circuit open for 3.2 s`.
    """

    kind: UnreadyKind
    until: float | None
    text: str

    def __str__(self) -> str:
        return self.text[:_LONGEST]


@dataclass(frozen=True, slots=True)
class CandidateVerdict:
    """A candidate as it was looked at.

    Attributes:
        name: `provider/model`, as configured.
        score: What the strategy ranked it by, the lowest first; None where it does not rank by a number.
        excluded: Why it was passed over; None if it was not.
    """

    name: str
    score: float | None = None
    excluded: Unready | None = None


@dataclass(slots=True)
class Decision:
    """How one request was routed. It grows while the request runs.

    Attributes:
        attempts: Those of the request, in the order of their beginning: the list of its context.
        version: Which configuration decided. Set by LLMRouter.
        strategy: How candidates were ranked. Set by Fallback.
        candidates: In the order in which they were to be asked, the excluded ones last. Set by Fallback.
        hedges: Upstreams that were asked although an earlier one had not failed. Set by Hedge.
        served: The attempt whose answer the client gets; None while there is none. Set by LLMRouter.
        began: When the request was here, in seconds of `time.perf_counter()`.
    """

    attempts: list[Attempt] = field(default_factory=list)
    version: str | None = None
    strategy: str | None = None
    candidates: tuple[CandidateVerdict, ...] = ()
    hedges: int = 0
    served: Attempt | None = None
    began: float = field(default_factory=time.perf_counter)

    @property
    def is_trivial(self) -> bool:
        """Whether there is nothing to explain: at most one attempt, nobody passed over, no hedge."""
        passed_over = self.candidates and self.candidates[-1].excluded is not None  # those come last
        return len(self.attempts) < 2 and not passed_over and not self.hedges

    @property
    def excluded(self) -> dict[str, Unready]:
        """The candidates that were passed over, and why; of very many the first 32."""
        excluded = ((each.name, each.excluded) for each in self.candidates if each.excluded is not None)
        return dict(islice(excluded, MOST_NAMED))

    @property
    def waits(self) -> list[float]:
        """Seconds before each attempt: since the one before it, before the first one since the request was here.

        A hedge begins while an earlier attempt still runs, and has not waited.
        """
        waits = list[float]()
        before: float | None = self.began
        for attempt in self.attempts:
            waits.append(0.0 if before is None else max(0.0, attempt.started - before))
            before = attempt.ended
        return waits

    def to_json(self) -> str:
        """One line of ASCII that fits into a header. Times are whole milliseconds; what is not known is left out.

        Of very many candidates the last ones are only counted, as `more_candidates`.
        """
        served = self.served
        candidates = [_considered(each) for each in self.candidates]
        told = {
            "version": self.version,
            "strategy": self.strategy,
            "candidates": candidates,
            "attempts": [_attempted(*each) for each in zip(self.attempts, self.waits, strict=True)],
            "hedges": self.hedges,
            "provider": served.provider if served else None,
            "model": served.model[:_LONGEST] if served else None,
        }
        while len(text := json.dumps(_known(told), separators=(",", ":"))) > _MOST and candidates:
            del candidates[len(candidates) // 2 :]
            told["more_candidates"] = len(self.candidates) - len(candidates)
        return text


def _attempted(attempt: Attempt, waited: float) -> dict[str, Any]:
    return _known(
        {
            "target": attempt.target,
            "waited_ms": _milliseconds(waited),
            "first_ms": None if attempt.first is None else _milliseconds(attempt.first - attempt.started),
            "took_ms": None if attempt.ended is None else _milliseconds(attempt.ended - attempt.started),
            "error": None if attempt.error is None else _kind(attempt.error),
            "hint": attempt.hint,
        }
    )


def _considered(each: CandidateVerdict) -> dict[str, Any]:
    score = None if each.score is None else float(f"{each.score:.4g}")
    return _known({"target": each.name, "score": score, "excluded": each.excluded and str(each.excluded)})


def _kind(error: BaseException) -> str:
    # Names of classes are not for clients.
    return error_type(error) if isinstance(error, (XRouterError, CancelledError)) else "defect"


def _known(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if value is not None}


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _either(value: dict[str, Any], *names: str) -> int | None:
    return next((count for name in names if (count := _count(value.get(name))) is not None), None)


def _cache_tokens(value: dict[str, Any]) -> tuple[int, int, int]:
    """What of the input was in the cache, what was put there, and what of that for an hour."""
    cached = _detail(value, "prompt", "cached_tokens")
    if not cached:  # DeepSeek, and GigaChat as it speaks itself
        cached = _either(value, "prompt_cache_hit_tokens", "precached_prompt_tokens") or 0
    written = _detail(value, "prompt", "cache_write_tokens")  # OpenRouter
    written = written or _count(value.get("cache_creation_input_tokens")) or 0
    return cached, written, _detail(value, "prompt", "cache_write_1h_tokens") if written else 0


def _detail(value: dict[str, Any], of: str, name: str) -> int:
    """A count of OpenAI's `…_tokens_details`, by the names of chats or of Responses; 0 if it is not told."""
    details = value.get(f"{of}_tokens_details") or value.get(_RESPONSES[of])
    return (_count(details.get(name)) if isinstance(details, dict) else None) or 0


def _count(value: object) -> int | None:
    """A count, which some upstreams write as 19.0 or "19"."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 16:
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    # A negative count would be credit.
    return value if type(value) is int and 0 <= value <= LARGEST_COUNT else None
