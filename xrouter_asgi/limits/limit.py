"""A limit, and the notation in which people write it: `60/minute`, `100000 tokens/day per owner`, `8 parallel`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, TypeAlias, cast, get_args

Unit: TypeAlias = Literal["requests", "tokens", "parallel", "output", "choices"]
"""`output` and `choices` are not counted: they bound the tokens of each choice, and the choices, of one request."""
Per: TypeAlias = Literal["key", "owner", "group", "model", "address", "all"]

_NOTATION = re.compile(
    r"""\s* (?P<amount>[0-9]{1,15})
        \s* (?: (?P<parallel>parallel)
              | (?: (?P<unit>requests?|tokens?|choices?) \s* )?
                (?P<window> (?:/|per\b) \s* (?:[1-9][0-9]{0,5})? \s* [a-z]+ ) )
        (?: \s+ per \s+ (?P<per>[a-z]+) )? \s*""",
    re.VERBOSE | re.IGNORECASE,
)
_LARGEST = 10**15  # Lua counts exactly up to 2^53
_UNITS: Final[Mapping[str, Unit]] = {"request": "requests", "token": "tokens"}
_PER_REQUEST = re.compile(r"(?:/|per\b)\s*request", re.IGNORECASE)
_PER_REQUEST_UNITS: Final[Mapping[str, Unit]] = {"token": "output", "choice": "choices"}
_WITHOUT_WINDOW: Final = ("parallel", "output", "choices")
_SECONDS = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))


@dataclass(frozen=True, slots=True)
class Limit:
    """The most that each subject may use."""

    amount: int  # at least 1
    unit: Unit = "requests"
    window: float = 60.0  # seconds, above 0; 0 for `parallel`, `output` and `choices`
    per: Per = "key"  # what has a count of its own; `all` share one

    def __post_init__(self) -> None:
        if self.amount < 1:
            raise ValueError(f"The amount of a limit must be at least 1, not {self.amount}.")
        if self.amount > _LARGEST:
            raise ValueError(f"The amount of a limit must be at most {_LARGEST}, not {self.amount}.")
        if (self.window > 0) == (self.unit in _WITHOUT_WINDOW) or self.window < 0:
            raise ValueError(f"A limit of {self.unit} cannot have a window of {self.window:g} seconds.")

    @property
    def kind(self) -> tuple[Unit, float, Per]:
        """Everything but the amount. A more specific limit replaces a general one of the same kind."""
        return self.unit, self.window, self.per

    @classmethod
    def parse(cls, text: str) -> Limit:
        """Read `60/minute`, `100000 tokens/day per owner`, `8 parallel`, `4000 tokens/request` or `4 choices/request`.

        The window is written as in the library `limits`: `/minute`, `/10 seconds`, `per 2 hours`. Raises ValueError.
        """
        match = _NOTATION.fullmatch(text)
        per = (match["per"] or "key").lower() if match else ""
        if match is None or per not in get_args(Per):
            raise _unreadable(text)
        if match["parallel"]:
            return cls(int(match["amount"]), "parallel", 0.0, cast(Per, per))
        unit = (match["unit"] or "request").lower().rstrip("s")
        if _PER_REQUEST.fullmatch(match["window"].strip()) and unit in _PER_REQUEST_UNITS:
            return cls(int(match["amount"]), _PER_REQUEST_UNITS[unit], 0.0, cast(Per, per))
        if unit not in _UNITS:
            raise _unreadable(text)
        from limits import parse  # here, because it takes 80 ms, and only those who set limits need it

        try:
            window = float(parse(f"1 {match['window']}").get_expiry())
        except ValueError as error:
            raise _unreadable(text) from error
        return cls(int(match["amount"]), _UNITS[unit], window, cast(Per, per))

    def __str__(self) -> str:
        """The form that clients read: `60 per 1 minute`, `100000 tokens per 1 day`, `8 parallel requests`."""
        if self.unit == "parallel":
            return f"{self.amount} parallel requests"
        if not self.window:
            return f"{self.amount} {'tokens of output' if self.unit == 'output' else 'choices'} per request"
        what = f"{self.amount} tokens" if self.unit == "tokens" else f"{self.amount}"
        for name, seconds in _SECONDS:
            count, rest = divmod(self.window, seconds)
            if not rest:
                return f"{what} per {count:g} {name}{'s' if count > 1 else ''}"
        return f"{what} per {self.window:g} seconds"


def _unreadable(text: str) -> ValueError:
    return ValueError(
        f"The limit {text!r} cannot be read. Write it like '60/minute', '100000 tokens/day per owner' or '8 parallel'; "
        f"the subject after the last 'per' is one of {', '.join(get_args(Per))}."
    )


@lru_cache(maxsize=4096)  # API keys bring their own limits, as text, with every request
def _parse_text(text: str) -> tuple[Limit, ...]:
    return tuple(Limit.parse(part) for part in re.split("[;,|]", text) if part.strip())


def parse_limits(limits: str | Limit | Iterable[str | Limit]) -> tuple[Limit, ...]:
    """Read several limits: `60/minute; 8 parallel`, or any iterable of such texts and of limits.

    Raises ValueError if one cannot be read, or two are of the same kind.
    """
    given = (limits,) if isinstance(limits, str | Limit) else limits
    found = tuple(limit for item in given for limit in (_parse_text(item) if isinstance(item, str) else (item,)))
    if len({limit.kind for limit in found}) < len(found):
        raise ValueError(f"Two of these limits are of the same kind: {'; '.join(map(str, found))}.")
    return found
