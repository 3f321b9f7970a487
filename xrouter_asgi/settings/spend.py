"""The tables of money: `[spend]`, and `[[prices]]`, here or in a file of their own."""

from __future__ import annotations

import datetime
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, ValidationInfo

from ..limits.limit import parse_limits
from ..limits.prices import Price, Prices, Rate
from .base import Table
from .errors import Location, SettingsError, sentences, show
from .layers import DatabaseURL, Limits, RateLimitSettings
from .models import ModelSettings
from .references import sources_of

_CURRENCY = re.compile(r"[A-Z]{3}")


class PriceSettings(Table):
    """`[[prices]]`: what a million tokens of a target costs, in the currency of `[spend]`.

    Attributes:
        target: `provider/model`, or a pattern with one `*`.
        input: A million tokens of the prompt.
        output: A million tokens of the answer, reasoning included.
        cached: A million tokens of input that the upstream had in its cache; by default as `input`.
        cache_write: A million tokens of input that the upstream puts into its cache; by default as `input`.
        cache_write_1h: A million of those that it keeps there for an hour; by default 1.6 times `cache_write`.
        request: One request, whatever its size.
        above: A number of tokens, and the price of requests with more input: `[200000, { input = 3, output = 15 }]`.
        source: Where the price was read; for people.
        date: When it was read; for people.
    """

    target: str
    input: Rate
    output: Rate
    cached: Rate | None = None
    cache_write: Rate | None = None
    cache_write_1h: Rate | None = None
    request: Rate = Decimal(0)
    above: tuple[Annotated[int, Field(ge=0)], Price] | None = None
    source: str | None = None
    date: datetime.date | None = None

    @property
    def price(self) -> Price:
        return Price(
            self.input,
            self.output,
            cached=self.cached,
            cache_write=self.cache_write,
            cache_write_1h=self.cache_write_1h,
            request=self.request,
            above=self.above,
        )


class PriceFile(Table):
    """The file that `xrouter prices update` writes."""

    prices: tuple[PriceSettings, ...] = ()


def _currency(text: str) -> str:
    if not _CURRENCY.fullmatch(text):
        raise ValueError(f'is {text!r}. Write the three letters of a currency, such as "USD".')
    return text


def _timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ValueError, LookupError, OSError) as exc:
        raise ValueError(
            f'is {name!r}, which this machine does not know. Write a time zone such as "Europe/Moscow"; '
            "where the system has none, install them with: pip install tzdata"
        ) from exc
    return name


def _usable(url: SecretStr) -> SecretStr:
    from ..ledger import SQLLedger  # here, because it needs an extra

    try:
        SQLLedger(url.get_secret_value())
    except (ValueError, ImportError) as exc:
        raise ValueError(f"cannot be used: {exc}") from exc
    return url


def _read_prices(value: Any, info: ValidationInfo) -> Any:
    """Replace the name of a file by the prices in it."""
    if not isinstance(value, str | Path):
        return value
    file = sources_of(info).folder / value
    try:
        document = tomllib.loads(file.read_text("utf-8"))
        return PriceFile.model_validate(document).prices
    except FileNotFoundError as exc:
        raise ValueError(f"names {str(value)!r}, which does not exist. Write it with: xrouter prices update") from exc
    except OSError as exc:
        raise ValueError(f"names {str(value)!r}, which cannot be read: {exc.strerror}.") from exc
    except ValidationError as exc:
        found = [f"{show(path)} {sentence}" for path, sentence in sentences(exc, PriceFile)]
    except ValueError as exc:  # bad UTF-8, too
        raise ValueError(f"names {str(value)!r}, which is not TOML: {exc}.") from exc
    raise ValueError(f"names {str(value)!r}, which has mistakes: {' '.join(found)}")


def present_prices(file: Path) -> str:
    """The text of a file of prices, empty if there is none yet. Raises SettingsError."""
    try:
        return file.read_text("utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as exc:
        raise SettingsError([f"{file} cannot be read: {exc}."]) from exc


class SpendSettings(Table):
    """`[spend]`: money. With it and a database, here or in `[keys]`, there is a ledger.

    Attributes:
        currency: Of all prices, limits and sums: three letters.
        timezone: In which calendar days, weeks and months begin.
        rates: What one unit of another currency is in this one, for `xrouter prices update`: `{ USD = 92.5 }`.
        prices: The file that `xrouter prices update` writes. A relative path starts at the folder of the settings file.
        url: The database of the ledger; that of `[keys]` if there is none. May be a reference.
        labels: Members of a request's `metadata` that the ledger keeps, cut to 64 characters.
        retention: Days for which it keeps entries; their sums by day are kept five years longer.
        limit: Budgets, such as `"1500 RUB/calendar month per owner"`, besides the limits of `[rate_limit]`.
    """

    currency: Annotated[str, AfterValidator(_currency)] = "USD"
    timezone: Annotated[str, AfterValidator(_timezone)] = "UTC"
    rates: dict[Annotated[str, AfterValidator(_currency)], Annotated[Decimal, Field(gt=0)]] = Field(
        default_factory=dict
    )
    prices: Annotated[tuple[PriceSettings, ...], BeforeValidator(_read_prices)] = ()
    limit: Limits = ()
    url: Annotated[DatabaseURL, AfterValidator(_usable)] | None = None
    labels: tuple[str, ...] = ()
    retention: Annotated[float, Field(gt=0, le=36_500)] = 90.0

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)


def wrong_with_money(
    spend: SpendSettings | None, limits: RateLimitSettings | None, models: Mapping[str, ModelSettings]
) -> Iterator[tuple[Location, str]]:
    """The paths of limits and prices that do not go together, and what to write instead.

    Args:
        limits: As written, without those of `spend`.
    """
    spend, limits = spend or SpendSettings(), limits or RateLimitSettings()
    written: list[tuple[Location, tuple[str, ...]]] = [(("spend", "limit"), spend.limit)]
    written.append((("rate_limit", "limit"), limits.limit))
    written += [(("rate_limit", "models", name), texts) for name, texts in limits.models.items()]
    for path, texts in written:
        for limit in parse_limits(texts):
            if limit.unit == "money" and limit.currency != spend.currency:
                how = f'Write {spend.currency}, or [spend] currency = "{limit.currency}".'
                yield path, f"counts {limit.currency}, and the prices are in {spend.currency}. {how}"
    try:
        parse_limits((*limits.limit, *spend.limit))
    except ValueError as exc:
        yield ("spend", "limit"), f"cannot be used besides [rate_limit]: {exc}"
    known: dict[str, Price] = {}
    for name, model in models.items():
        for index, target in enumerate(model.targets):
            if target.price is not None and known.setdefault(str(target), target.price) != target.price:
                path = ("models", name, "targets", index, "price")
                yield path, f"differs from another price of '{target}'. Write one price for a target."


def price_list(
    spend: SpendSettings | None, tables: Iterable[PriceSettings], models: Mapping[str, ModelSettings]
) -> Prices:
    """All prices. Those of the file give way to `[[prices]]`, and both to the price of a target.

    Args:
        models: The models that are served, by name.
    """
    spend = spend or SpendSettings()
    prices = {each.target: each.price for each in (*spend.prices, *tables)}
    for model in models.values():
        prices |= {str(target): target.price for target in model.targets if target.price is not None}
    served = {name: [str(target) for target in model.targets] for name, model in models.items()}
    return Prices(prices, models=served, currency=spend.currency)
