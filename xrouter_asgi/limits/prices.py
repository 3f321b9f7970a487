"""What models cost: prices of a million tokens, and amounts of money as whole nano-units of one currency.

Prices are decimal numbers, and no float takes part in a sum: a cost is exact, and rounded up once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Annotated, Final, TypeAlias

from annotated_types import Ge
from pydantic import Field

from ..context import Usage, matches, normal_form, stem
from ..errors import ModelUnpriced

NANO: Final = 10**9  # nano-units of one unit of a currency
MOST: Final = 9 * 10**15  # nano-units, nine million units: Lua counts exactly up to 2**53

_PLACES = 12  # decimals of a price
_DEAREST = 10**6  # units of a currency for a million tokens
_FOR_AN_HOUR = Decimal("1.6")  # twice the price of input, where five minutes are 1.25 times

Rate: TypeAlias = Annotated[Decimal, Field(ge=0, le=_DEAREST, decimal_places=_PLACES)]
Number: TypeAlias = Decimal | int | float | str


@dataclass(frozen=True, slots=True, init=False)
class Price:
    """What a million tokens costs. A number may be a text, such as `"0.15"`; a float counts as it is written.

    Attributes:
        input: Of the prompt.
        output: Of the answer, reasoning included.
        cached: Of the input that the upstream had in its cache; by default as `input`.
        cache_write: Of the input that the upstream puts into its cache; by default as `input`.
        cache_write_1h: Of what it keeps there for an hour; by default 1.6 times `cache_write`, if that is given: what
            Anthropic takes (https://platform.claude.com/docs/en/build-with-claude/prompt-caching, November 2026).
        request: Of one request, whatever its size.
        above: A number of tokens, and the price of requests with more input than that.

    Raises:
        ValueError: For what is no number from 0 to 1,000,000, or has more than 12 decimals.
    """

    input: Rate
    output: Rate
    cached: Rate | None = None
    cache_write: Rate | None = None
    cache_write_1h: Rate | None = None
    request: Rate = Decimal(0)
    above: tuple[Annotated[int, Ge(0)], Price] | None = None
    _whole: tuple[int, int, int, int, int, int, int] = field(init=False, repr=False, compare=False)

    def __init__(
        self,
        input: Number,
        output: Number,
        *,
        cached: Number | None = None,
        cache_write: Number | None = None,
        cache_write_1h: Number | None = None,
        request: Number = 0,
        above: tuple[int, Price] | None = None,
    ) -> None:
        given = {"input": input, "output": output, "cached": cached, "request": request}
        given |= {"cache_write": cache_write, "cache_write_1h": cache_write_1h}
        for name, value in given.items():
            object.__setattr__(self, name, None if value is None else _decimal(name, value))
        object.__setattr__(self, "above", above)
        self.__post_init__()

    def __post_init__(self) -> None:
        """Compute the price of one token in whole numbers, so that a cost takes no decimals."""
        for price in (self.input, self.output, self.cached, self.cache_write, self.cache_write_1h, self.request):
            if price is None:
                continue
            if not 0 <= price <= _DEAREST or -int(price.as_tuple().exponent) > _PLACES:
                raise ValueError(
                    f"A price is {price}. Write a number from 0 to {_DEAREST}, with at most {_PLACES} decimals."
                )
        if self.above is not None and self.above[0] < 0:
            raise ValueError(f"The tokens of 'above' are {self.above[0]}. Write a number of 0 or more.")
        cached = self.input if self.cached is None else self.cached
        cache_write, for_an_hour = self.cache_write, self.cache_write_1h
        if for_an_hour is None:
            for_an_hour = self.input if cache_write is None else cache_write * _FOR_AN_HOUR
        if cache_write is None:
            cache_write = self.input
        # A price of a million tokens is one thousandth of it in nano-units for each token.
        by_kind = (self.input, self.output, cached, cache_write, for_an_hour, self.request * 10**6)
        whole = tuple(int(price.scaleb(_PLACES)) for price in by_kind)
        object.__setattr__(self, "_whole", (*whole, 10 ** (_PLACES - 3)))

    def cost(self, usage: Usage) -> int:
        """What a request of so many tokens costs, in nano-units, rounded up."""
        if self.above is not None and usage.prompt_tokens > self.above[0]:
            return self.above[1].cost(usage)
        prompt, completion, cached, written, _, for_an_hour = usage
        of_input, of_output, of_cached, of_written, of_an_hour, of_request, scale = self._whole
        exact = of_input * prompt + of_output * completion + of_request
        if cached or written:
            cached = min(cached, prompt)
            written = min(written, prompt - cached)
            exact += (of_cached - of_input) * cached + (of_written - of_input) * written
            exact += (of_an_hour - of_written) * min(for_an_hour, written)
        return -(-exact // scale)

    def bound(self, prompt: int, completion: int) -> int:
        """The same for as many tokens of input and output, none of them cached."""
        if self.above is not None and prompt > self.above[0]:
            return self.above[1].bound(prompt, completion)
        of_input, of_output, _, _, _, of_request, scale = self._whole
        return -(-(of_input * prompt + of_output * completion + of_request) // scale)


class Prices:
    """The prices of targets, in one currency.

    Names are compared in their normal form. A price without a pattern wins over one with, and a longer pattern over a
    shorter one.

    Args:
        targets: Prices by `provider/model`. One `*` in the name stands for anything.
        models: Which targets each served model has. A `*` in a target stands for what the `*` in the model stands for.
            Without it, a served model is what a provider calls by the same name.
        currency: Its three letters.
    """

    def __init__(
        self,
        targets: Mapping[str, Price],
        *,
        models: Mapping[str, Iterable[str]] | None = None,
        currency: str = "USD",
    ) -> None:
        self.currency = currency
        self._targets: dict[str, Price] = {}
        self._models: Mapping[str, tuple[str, ...]] | None = None
        # Clients choose some of the names, so the caches are bounded.
        self._found = lru_cache(maxsize=1024)(self._find)
        self._dearest = lru_cache(maxsize=1024)(self._find_dearest)
        self._set(targets, models)

    def __bool__(self) -> bool:
        """Whether there is any price."""
        return bool(self._targets)

    def of(self, target: str) -> Price | None:
        """The price of `provider/model`; None if it has none."""
        return self._found(target)

    def most(self, model: str) -> Price | None:
        """A price that none of a served model's targets exceeds, whatever kind of tokens it counts: for reservations.

        Targets without a price are left out, because no request under a limit of money goes there. None if all are.
        """
        return self._dearest(model)

    def cost(self, target: str, usage: Usage) -> int | None:
        """What a request to a target costs, in nano-units; None if it has no price."""
        price = self._found(target)
        return None if price is None else price.cost(usage)

    def knows(self, target: str) -> bool:
        """Whether a target has a price."""
        return self._found(target) is not None

    def update(self, newer: Prices) -> None:
        """Take over newer prices and models. Other prices stay, for the requests that still run."""
        self._set({**self._targets, **newer._targets}, newer._models)

    def _set(self, targets: Mapping[str, Price], models: Mapping[str, Iterable[str]] | None) -> None:
        self._targets = {normal_form(target): price for target, price in targets.items()}
        self._patterns = sorted((name for name in self._targets if "*" in name), key=len, reverse=True)
        self._models = None if models is None else {name: tuple(served) for name, served in models.items()}
        self._found.cache_clear()
        self._dearest.cache_clear()

    def _find(self, target: str) -> Price | None:
        name = normal_form(target)
        if (price := self._targets.get(name)) is not None:
            return price
        return next((self._targets[pattern] for pattern in self._patterns if matches(pattern, name)), None)

    def _find_dearest(self, model: str) -> Price | None:
        found = {self._find(target) for target in self._targets_of(model)} - {None}
        return _above_all([price for price in found if price is not None]) if found else None

    def _targets_of(self, model: str) -> Iterable[str]:
        """The targets that a request for a model may go to, as `ModelTable` finds them."""
        if self._models is None:
            providers = dict.fromkeys(target.partition("/")[0] for target in self._targets)
            return [f"{provider}/{model}" for provider in providers]
        if "*" not in model and model in self._models:
            return self._models[model]
        for pattern in sorted((name for name in self._models if "*" in name), key=len, reverse=True):
            if found := stem(pattern, model):
                return [target.replace("*", found) for target in self._models[pattern]]
        return ()


def unpriced(model: str) -> ModelUnpriced:
    """What refuses a request whose cost nobody can tell, where money is limited."""
    text = f"The model '{model[:256]}' has no price, so it cannot be used within a budget. Tell the operator."
    return ModelUnpriced(text, param="model")


def in_units(nano: int) -> str:
    """An amount in units of its currency, exactly: `20`, `0.00123`."""
    text = str(nano).zfill(10)
    rest = text[-9:].rstrip("0")
    return f"{text[:-9]}.{rest}" if rest else text[:-9]


def _decimal(name: str, value: Number) -> Decimal:
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise ValueError(f"The price {name!r} is {value!r}. Write a number from 0 to {_DEAREST}.")
    return number


def _above_all(prices: Iterable[Price]) -> Price:
    """The lowest price that none of these exceeds."""
    prices = tuple(prices)
    steps = [price.above for price in prices if price.above is not None]
    return Price(
        max(map(_dearest_input, prices)),
        max(each.output for each in prices),
        request=max(each.request for each in prices),
        above=(min(tokens for tokens, _ in steps), _above_all([*map(_flat, prices), *(then for _, then in steps)]))
        if steps
        else None,
    )


def _dearest_input(price: Price) -> Decimal:
    """The most that a million tokens of input costs, cached or not."""
    of_input, _, *of_cached, _, _ = price._whole
    return Decimal(max(of_input, *of_cached)).scaleb(-_PLACES)


def _flat(price: Price) -> Price:
    """The price of requests that are not long."""
    return replace(price, above=None)
