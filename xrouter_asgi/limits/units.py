"""What limits count: each unit says what a request may cost before it is answered, and what it cost afterwards.

All else is the same for every unit: costs are reserved, settled and owed by stores that know amounts and windows only.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Protocol

from ..errors import InvalidRequest
from .estimates import Work
from .limit import Limit, Unit


class UnitOfCost(Protocol):
    """How one unit is reckoned."""

    @property
    def each(self) -> int | None:
        """What every request costs; None if that depends on its body."""

    def before(self, work: Work, limit: Limit, /) -> int | None:
        """What to reserve, up to the limit's amount; None for nothing. Raises InvalidRequest for too much."""

    def after(self, work: Work, reserved: int, /) -> int:
        """What it cost."""


class Requests:
    """Each request is one, whatever becomes of it."""

    each = 1

    def before(self, work: Work, limit: Limit, /) -> int:
        return 1

    def after(self, work: Work, reserved: int, /) -> int:
        return reserved


class ParallelRequests:
    """Each request is one while it runs, and nothing afterwards."""

    each = 1

    def before(self, work: Work, limit: Limit, /) -> int:
        return 1

    def after(self, work: Work, reserved: int, /) -> int:
        return 0


class Tokens:
    """The input and the output that is expected; afterwards what the upstream counted."""

    each = None

    def before(self, work: Work, limit: Limit, /) -> int:
        """A guess of the output is cut to the limit; the input and the client's own bound are not."""
        estimate = work.estimate
        sure = estimate.prompt_tokens + (estimate.completion_tokens or 0)
        if sure > limit.amount:
            raise InvalidRequest(
                f"This request may take {sure} tokens, and the limit is {limit}. "
                "Send less text, or ask for fewer tokens.",
                code="tokens_exceed_limit",
            )
        expected = estimate.prompt_tokens + work.output
        return expected if expected < limit.amount else limit.amount

    def after(self, work: Work, reserved: int, /) -> int:
        spent = work.spent()
        return spent.tokens + reserved if spent.unknown else spent.tokens


class Money:
    """The cost of such a request at the dearest target it may go to; afterwards what its attempts cost."""

    each = None

    def before(self, work: Work, limit: Limit, /) -> int:
        """What a guess of the output costs is cut to the limit; the input and the client's own bound are not.

        Raises ModelUnpriced too.
        """
        expected = work.dearest(limit.currency, work.output)
        if expected <= limit.amount:
            return expected
        sure = work.dearest(limit.currency, work.estimate.completion_tokens or 0)
        if sure > limit.amount:
            raise InvalidRequest(
                f"This request may cost {limit.shown(sure)}, and the budget is {limit}. "
                "Send less text, or ask for fewer tokens.",
                code="cost_exceeds_limit",
            )
        return limit.amount

    def after(self, work: Work, reserved: int, /) -> int:
        cost = work.context.cost
        return work.spent().with_reserved(reserved).amount if cost is None or cost.estimated else cost.amount


class OutputPerRequest:
    """The bound that the client sets to each answer. It is looked at, and not counted."""

    each = None

    def before(self, work: Work, limit: Limit, /) -> None:
        """Raises InvalidRequest for a bound that is too high, and for none: nobody could keep it for the client."""
        estimate = work.estimate
        if estimate.completion_tokens is None or estimate.completion_tokens > limit.amount * estimate.choices:
            raise InvalidRequest(
                f"The limit is {limit}. Send a bound ('max_tokens') of {limit.amount} or less.",
                param="max_tokens",
                code="output_exceeds_limit",
            )

    def after(self, work: Work, reserved: int, /) -> int:
        return reserved


class ChoicesPerRequest:
    """How many answers the client asks for. They are looked at, and not counted."""

    each = None

    def before(self, work: Work, limit: Limit, /) -> None:
        if work.estimate.choices > limit.amount:
            raise InvalidRequest(
                f"The limit is {limit}. Ask for {limit.amount} or fewer.", param="n", code="choices_exceed_limit"
            )

    def after(self, work: Work, reserved: int, /) -> int:
        return reserved


UNITS: Final[Mapping[Unit, UnitOfCost]] = MappingProxyType(
    {
        "requests": Requests(),
        "parallel": ParallelRequests(),
        "tokens": Tokens(),
        "money": Money(),
        "output": OutputPerRequest(),
        "choices": ChoicesPerRequest(),
    }
)
