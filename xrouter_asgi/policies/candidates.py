"""Candidates for a call: where it may go, what each of them can do and costs, and what a call requires."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from ..checks import Count
from ..errors import InvalidRequest, UnsupportedOperation, XRouterError
from ..limits.prices import Price, unpriced
from ..providers.base import Call, Provider, Unready
from ..providers.target import Attempting, as_target
from ..wire import ChatRequest, EmbeddingsRequest

TOO_LONG = "context_length_exceeded"

_CHARACTERS = 6  # of one token at most: plain English has 4 to 5 (OpenAI's tokenizer page), Russian 2 to 4
_ANSWER = 500  # tokens that an answer is taken to have
_UNPRICED = Unready("unpriced", None, "has no price")
_SMOOTHING = 0.2  # of the moving average of latencies: some ten calls decide


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a model can do. What nobody says, it can.

    Attributes:
        tools: Call functions.
        vision: See pictures.
        json_schema: Answer by a JSON Schema (`response_format`).
        context: Tokens of input and output together; by default nobody knows.
    """

    tools: bool = True
    vision: bool = True
    json_schema: bool = True
    context: Count | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A model at a provider that a call may go to.

    Args:
        provider: Takes the call; usually `resilient(Target(…))`.
        name: How explanations call it, such as `gigachat/GigaChat-2-Pro`.
        weight: Its share, in proportion to the other weights. 0 takes what no other can.
        price: For `lowest_cost`, in the currency of the other prices.
        capabilities: For calls that need them.
        max_parallel: How many calls at once it bears, for `stack` to keep to; None for any number.
        own_key: Whether callers may bring a key of their own (`BringYourOwnKey`). What one of them meets says nothing
            about the others. Where no candidate has it, `x-provider-key` is ignored.

    Raises:
        ValueError: For a weight below 0.
    """

    provider: Provider
    name: str
    weight: float = field(default=1.0, kw_only=True)
    price: Price | None = field(default=None, kw_only=True)
    capabilities: Capabilities = field(default=Capabilities(), kw_only=True)
    max_parallel: int | None = field(default=None, kw_only=True)
    own_key: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        if not self.weight >= 0:
            raise ValueError(f"The weight of '{self.name}' is {self.weight}. Write a number of 0 or more.")

    def holds_more_than(self, other: Candidate) -> bool:
        """Whether it is known to take a longer conversation."""
        ours, theirs = self.capabilities.context, other.capabilities.context
        return ours is not None and theirs is not None and ours > theirs

    def why_unable(self, call: Call, requirements: Requirements) -> Unready | None:
        """Why the call cannot go there at all: what it is known to lack, or a price, where there is a budget."""
        if not self.is_affordable(call):
            return _UNPRICED
        missing = self.missing_capability(requirements)
        return None if missing is None else Unready("capability", None, f"lacks {missing}")

    def is_affordable(self, call: Call) -> bool:
        """Whether it has a price, or nobody asks for one."""
        is_priced = call.context.is_priced
        return is_priced is None or is_priced(self.name.replace("*", call.stem))

    def missing_capability(self, requirements: Requirements) -> str | None:
        """What the call requires and this model is known to lack, such as `vision`; None if nothing is."""
        known = self.capabilities
        if not known.tools and requirements.tools:
            return "tools"
        if not known.vision and requirements.vision:
            return "vision"
        if not known.json_schema and requirements.json_schema:
            return "json_schema"
        if known.context is not None and requirements.prompt_tokens > known.context:
            return "context"
        return None


@dataclass(slots=True, eq=False)
class CandidateStats:
    """What `Fallback` knows of a candidate from its calls.

    Attributes:
        provider: The candidate's, as one that makes attempts.
        load: Calls under way, streams included until their end.
        latency: Seconds to the first event of late, as a moving average; 0 while unknown.
    """

    candidate: Candidate
    provider: Attempting = field(init=False)
    load: int = 0
    latency: float = 0.0

    def __post_init__(self) -> None:
        self.provider = as_target(self.candidate.provider)

    def ended(self, error: BaseException | None) -> None:
        """Note that a call is over, however it ended."""
        self.load -= 1

    def answered_after(self, seconds: float) -> None:
        """Note how long a call took to its first event."""
        self.latency = self.latency + _SMOOTHING * (seconds - self.latency) if self.latency else seconds


class Requirements:
    """What a call requires of a model. Each is found out when it is asked for: most candidates can do everything."""

    def __init__(self, call: Call) -> None:
        self._request = call.request
        self._document = call.document

    @cached_property
    def tools(self) -> bool:
        request = self._request
        return isinstance(request, ChatRequest) and bool(request.tools or request.functions)

    @cached_property
    def vision(self) -> bool:
        return self._content[0]

    @cached_property
    def _content(self) -> tuple[bool, int]:
        """Whether there are pictures, and how many characters of text. There may be 80,000 messages."""
        pictures, characters = False, 0
        # As JSON: to make models of them would take ten times as long.
        for message in self._document.value["messages"] if isinstance(self._request, ChatRequest) else ():
            content = message.get("content")
            for part in [{"text": content}] if isinstance(content, str) else content or ():
                pictures = pictures or part.get("type") == "image_url"
                text = part.get("text")
                characters += len(text) if isinstance(text, str) else 0
        return pictures, characters

    @cached_property
    def json_schema(self) -> bool:
        request = self._request
        asked = request.response_format if isinstance(request, ChatRequest) else None
        return asked is not None and asked.type == "json_schema"

    @cached_property
    def prompt_tokens(self) -> int:
        """As few as its text can have. Pictures, files and tools are not counted."""
        match self._request:
            case ChatRequest():
                return self._content[1] // _CHARACTERS
            case EmbeddingsRequest(input=text):
                # Each input has the context for itself.
                return max(map(_tokens, text if isinstance(text, list) and not _is_tokens(text) else [text]))
        return 0

    @cached_property
    def answer_tokens(self) -> int:
        """As many as are expected, within the bound that the client set."""
        request = self._request
        if not isinstance(request, ChatRequest):
            return 0
        return min(request.max_completion_tokens or request.max_tokens or _ANSWER, _ANSWER) * (request.n or 1)


def refusal_of_all(call: Call, unable: Iterable[Unready]) -> XRouterError:
    """What to answer to a call that no candidate can take."""
    lacks = sorted({why.text.removeprefix("lacks ") for why in unable if why.kind == "capability"})
    name = call.model[:128]
    if not lacks:
        return unpriced(name)
    if "context" in lacks:
        message = f"The conversation is longer than the context of the model '{name}'. Shorten it."
        return InvalidRequest(message, code=TOO_LONG, param="messages")
    return UnsupportedOperation(f"The model '{name}' cannot take this request, because it lacks {' or '.join(lacks)}.")


def _is_tokens(value: list[str] | list[int] | list[list[int]]) -> bool:
    return isinstance(value[0], int)


def _tokens(text: object) -> int:
    return len(text) if isinstance(text, list) else len(str(text)) // _CHARACTERS
