"""A limit, and the notation in which people write it: `60/minute`, `20 USD/calendar day per owner`, `8 parallel`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import Final, Literal, TypeAlias, cast, get_args

from .prices import MOST, NANO, in_units

Unit: TypeAlias = Literal["requests", "tokens", "money", "parallel", "output", "choices"]
UNCOUNTED: Final = ("output", "choices")
"""They bound the tokens of each choice, and the choices, of one request."""
Per: TypeAlias = Literal["key", "owner", "group", "model", "address", "all"]
Period: TypeAlias = Literal["day", "week", "month"]

DAY: Final = 86_400.0
LONGEST: Final[dict[Period, float]] = {"day": DAY, "week": 7 * DAY, "month": 31 * DAY}
"""Seconds of the longest period of each kind, give or take the hour of a change of clocks."""

_LARGEST = 10**15  # Lua counts exactly up to 2^53
_WITHOUT_WINDOW: Final = ("parallel", *UNCOUNTED)
_SECONDS = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))

_NOTATION = re.compile(
    r"""\s* (?P<amount> [0-9][0-9_]{0,20} (?:\.[0-9]{1,9})? ) (?P<thousands> [km]? )
        (?: \s* (?: (?P<parallel>parallel) | (?P<counts>[rt])p(?P<each>[smhd]) )
          | \s* (?: (?P<unit> (?!per\b)[a-z]+ ) \s* )?
            (?:/|per\b) \s* (?P<calendar> calendar\s+ )? (?P<count> [1-9][0-9]{0,5} )? \s* (?P<window>[a-z]+) )
        (?: \s+ per \s+ (?P<per>[a-z]+) )? \s*""",
    re.VERBOSE | re.IGNORECASE,
)
_CURRENCY = re.compile(r"(?![rt]p[smhd])[a-z]{3}")
_THOUSANDS: Final = {"": 1, "k": 1_000, "m": 1_000_000}
_UNITS: Final[Mapping[str, Unit]] = {
    **dict.fromkeys(("", "r", "req", "request"), "requests"),
    **dict.fromkeys(("t", "tok", "token"), "tokens"),
    "choice": "choices",
}
_PER_REQUEST: Final[Mapping[str, Unit]] = {"tokens": "output", "choices": "choices"}
_WINDOWS: Final[Mapping[str, float]] = {
    **dict.fromkeys(("s", "sec", "second"), 1.0),
    **dict.fromkeys(("m", "min", "minute"), 60.0),
    **dict.fromkeys(("h", "hr", "hour"), 3_600.0),
    **dict.fromkeys(("d", "day"), DAY),
    **dict.fromkeys(("w", "week"), 7 * DAY),
    "month": 30 * DAY,
}
_UNDERSTOOD: Final = f"""\
A limit is an amount, what it counts, a window and whose it is, such as '60/minute', '60 rpm', '8 parallel', \
'1_000_000 tokens/week', '20 USD/day', '1500 RUB/calendar month per owner' or '4000 tokens/request'. \
Amount: a whole number, also as 1_000, 10k or 2M; of money also with decimals, up to {MOST // NANO:_}. \
Counts: requests (or nothing), tokens, the three letters of a currency, parallel, choices. \
Window: /second, /minute, /hour, /day, /week or /month (30 days), also s, sec, m, min, h, hr, d, w, with a number as \
in '/10 seconds', with 'per' for '/', and as rps, rpm, rph, rpd, tps, tpm, tph, tpd; '/calendar day', \
'/calendar week' or '/calendar month'; '/request' for tokens and choices. \
Whose: 'per key' (or nothing), {", ".join(f"'per {per}'" for per in get_args(Per)[1:])}. \
Put ';' between several."""


@dataclass(frozen=True, slots=True)
class Limit:
    """The most that each subject may use.

    Attributes:
        amount: At least 1; nano-units of `currency` for `money`.
        window: Seconds, above 0; 0 for `parallel`, `output` and `choices`.
        per: What has a count of its own; `all` share one.
        calendar: The period of the calendar that the window is, from its beginning to its end; None for a window that
            slides. Then `window` is that of the longest such period.
        currency: Three letters for `money`, else empty.
        amount_text: The amount with its unit: `20 USD`.
        name: Of its counts. A window that slides starts anew with another amount; a period of the calendar does not.
    """

    amount: int
    unit: Unit = "requests"
    window: float = 60.0
    per: Per = "key"
    calendar: Period | None = None
    currency: str = ""
    amount_text: str = field(init=False, repr=False, compare=False)
    name: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.amount < 1:
            raise ValueError(f"The amount of a limit must be at least 1, not {self.amount}.")
        if self.amount > (largest := MOST if self.unit == "money" else _LARGEST):
            amounts = f"{self.shown(largest)}, not {self.shown(self.amount)}"
            raise ValueError(f"The amount of a limit must be at most {amounts}.")
        if (self.window > 0) == (self.unit in _WITHOUT_WINDOW) or self.window < 0:
            raise ValueError(f"A limit of {self.unit} cannot have a window of {self.window:g} seconds.")
        if (self.unit == "money") != bool(self.currency):
            raise ValueError(f"A limit of {self.unit} cannot have the currency {self.currency!r}.")
        kept = self.amount if self.calendar is None else self.calendar
        object.__setattr__(self, "amount_text", self.shown(self.amount))
        object.__setattr__(self, "name", f"{self.unit} {kept} {self.window} {self.per}")

    @property
    def kind(self) -> tuple[Unit, float, Period | None, Per]:
        """Everything but the amount. A more specific limit replaces a general one of the same kind."""
        return self.unit, self.window, self.calendar, self.per

    @classmethod
    def parse(cls, text: str) -> Limit:
        """Read one limit. Raises ValueError, with all that is understood."""
        match = _NOTATION.fullmatch(text)
        if match is None:
            raise _unreadable(text)
        per = (match["per"] or "key").lower()
        if per not in get_args(Per):
            raise _unreadable(text)
        unit, currency = _counted(match)
        window, calendar = _window(match)
        if not window and match["window"]:  # of one request
            unit = _PER_REQUEST.get(unit, "requests")
        amount = Decimal(match["amount"].replace("_", "")) * _THOUSANDS[match["thousands"].lower()]
        amount *= NANO if currency else 1
        if amount % 1 or (not window) != (unit in _WITHOUT_WINDOW):
            raise _unreadable(text)
        return cls(int(amount), cast(Unit, unit), window, cast(Per, per), calendar, currency)

    def __str__(self) -> str:
        """The form that clients read: `60 per 1 minute`, `20 USD per calendar day`, `8 parallel requests`."""
        if self.unit == "parallel":
            return f"{self.amount} parallel requests"
        if not self.window:
            return f"{self.amount} {'tokens of output' if self.unit == 'output' else 'choices'} per request"
        return f"{self.amount_text} per {self._window_in_words()}"

    def shown(self, amount: int) -> str:
        """An amount of what it counts, with its unit: `100 tokens`, `12.5 USD`."""
        if self.unit == "money":
            return f"{in_units(amount)} {self.currency}"
        return f"{amount} tokens" if self.unit == "tokens" else f"{amount}"

    def _window_in_words(self) -> str:
        if self.calendar is not None:
            return f"calendar {self.calendar}"
        for name, seconds in _SECONDS:
            count, rest = divmod(self.window, seconds)
            if not rest:
                return f"{count:g} {name}{'s' if count > 1 else ''}"
        return f"{self.window:g} seconds"


def check_currency(limits: Iterable[Limit], currency: str) -> None:
    """Raise ValueError for a limit of money in another currency than that of the prices: nothing would keep to it."""
    for limit in limits:
        if limit.unit == "money" and limit.currency != currency:
            raise ValueError(f"The limit {limit} is not in {currency}, as the prices are. Write it in {currency}.")


def _counted(match: re.Match[str]) -> tuple[str, str]:
    """What a limit counts, and its currency."""
    if match["parallel"]:
        return "parallel", ""
    written = (match["counts"] or match["unit"] or "").lower()
    word = written.removesuffix("s") or written
    if word in _UNITS:
        return _UNITS[word], ""
    if not _CURRENCY.fullmatch(written):
        raise _unreadable(match.string)
    return "money", written.upper()


def _window(match: re.Match[str]) -> tuple[float, Period | None]:
    """The seconds of a window, 0 for none and for one request, and the period of the calendar that it is."""
    if match["parallel"]:
        return 0.0, None
    word = (match["each"] or match["window"]).lower()
    if word == "request" and not (match["count"] or match["calendar"]):
        return 0.0, None
    if match["calendar"]:
        if word not in LONGEST or match["count"]:
            raise _unreadable(match.string)
        return LONGEST[cast(Period, word)], cast(Period, word)
    seconds = _WINDOWS.get(word) or _WINDOWS.get(word.removesuffix("s"))
    if seconds is None:
        raise _unreadable(match.string)
    return int(match["count"] or 1) * seconds, None


def _unreadable(text: str) -> ValueError:
    return ValueError(f"The limit {text!r} cannot be read. {_UNDERSTOOD}")


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
