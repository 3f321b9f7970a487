"""`xrouter prices update`: look up what the targets of the settings cost, and write it into a file."""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import ROUND_UP, Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..limits.prices import Price
from ..settings import SettingsError, find_file
from ..settings.document import read_document
from ..settings.errors import sentences, show
from ..settings.spend import SpendSettings, present_prices
from .base import Commands, add_command, fail, say

_EXAMPLES = """\
examples:
  xrouter prices update                    shows what would change, and asks
  xrouter prices update --config xrouter.toml --yes

Needs the extra `prices`, whose data is of the day of its release. Read what it found before you rely on it."""
_NO_EXTRA = 'xrouter prices needs genai-prices. Install it with: pip install "xrouter-asgi[prices]"'
_NO_FILE = '{file}: spend.prices is missing. Write the name of a file for them, such as prices = "prices.toml".'
_NO_RATE = "{file}: spend.rates has no USD, in which the prices are. Write for example rates = {{ USD = 92.5 }}."
_HEAD = """\
# Written by `xrouter prices update`, in {currency} for a million tokens. Write your own as [[prices]] in the settings.
"""
_PLACES = Decimal("1e-6")
_KEYS = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cached": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
}


@dataclass(frozen=True, slots=True)
class _Target:
    """A model at a provider, and the address of that provider's API."""

    name: str
    model: str
    url: str


def add_prices_command(commands: Commands) -> None:
    """Add `prices` to the commands of `xrouter`."""
    text = "Keep the prices of models."
    prices = commands.add_parser("prices", help=text, description=text)
    actions = prices.add_subparsers(required=True, metavar="ACTION")
    text = "Look up what the targets of the settings cost, and write it into the file of [spend] prices."
    update = add_command(actions, "update", _update, text, epilog=_EXAMPLES)
    update.add_argument("--config", metavar="FILE", help="settings in TOML; default: as for xrouter serve")
    update.add_argument("--yes", action="store_true", help="write without asking")


def _update(options: argparse.Namespace) -> int:
    try:
        import genai_prices.data_snapshot as catalogue
    except ImportError:
        return fail(_NO_EXTRA)
    file = find_file(options.config)
    if file is None:
        return fail("There is no settings file. Name one with --config.")
    document = read_document(file)
    spend, target = _spend(file, document)
    rate = Decimal(1) if spend.currency == "USD" else spend.rates.get("USD")
    if rate is None:
        return fail(_NO_RATE.format(file=file))
    before = present_prices(target)
    targets = list(_targets(document))
    prices = {each.name: price for each in targets if (price := _price(catalogue.get_snapshot(), each)) is not None}
    if unknown := [each.name for each in targets if each.name not in prices]:
        say(f"No price is known of {', '.join(unknown)}. Write it as [[prices]], with its date and source.")
    tables = (_table(name, *price, rate=rate) for name, price in prices.items())
    after = _HEAD.format(currency=spend.currency) + "".join(tables)
    return _write(target, before, after, asks=not options.yes)


def _spend(file: Path, document: Mapping[str, Any]) -> tuple[SpendSettings, Path]:
    """The table of money, and the file of the prices, which need not exist."""
    table = document.get("spend", {})
    name = table.get("prices") if isinstance(table, dict) else None
    if not isinstance(name, str):
        raise SettingsError([_NO_FILE.format(file=file)])
    try:
        return SpendSettings.model_validate({**table, "prices": ()}), file.parent / name
    except ValidationError as exc:
        found = sentences(exc, SpendSettings, below=("spend",))
    raise SettingsError([f"{file}: {show(path)} {sentence}" for path, sentence in found])


def _targets(document: Mapping[str, Any]) -> Iterator[_Target]:
    """The targets of all models, without patterns, each once. What is wrong with them is `xrouter check`'s to say."""
    providers, models = document.get("providers"), document.get("models")
    names: dict[str, None] = {}
    for table in models.values() if isinstance(models, dict) else ():
        for target in table.get("targets", ()) if isinstance(table, dict) else ():
            if isinstance(target, dict):
                target = f"{target.get('provider')}/{target.get('model')}"
            names[str(target)] = None
    for name in names:
        provider, _, model = name.partition("/")
        table = providers.get(provider) if isinstance(providers, dict) else None
        if "*" not in model:
            yield _Target(name, model, str(table.get("base_url", "")) if isinstance(table, dict) else "")


def _price(catalogue: Any, target: _Target) -> tuple[Price, str] | None:
    """The price of a target in dollars, and where it stands; None if it is not known."""
    try:
        provider, model = catalogue.find_provider_model(target.model, None, None, target.url)
    except LookupError:
        return None
    told = vars(model.get_prices(datetime.now(UTC)))
    if told.get("input_mtok") is None or told.get("output_mtok") is None:
        return None
    source = next(iter(provider.pricing_urls or ()), provider.name)
    steps = sorted({tier.start for price in told.values() for tier in getattr(price, "tiers", ())})
    price = _at(told, None)
    for start in reversed(steps):
        above = _at(told, start) if price.above is None else replace(_at(told, start), above=price.above)
        price = replace(price, above=(start, above))
    return price, source


def _at(told: Mapping[str, Any], start: int | None) -> Price:
    """The price of requests with as many tokens of input as a step needs; None: of those below all steps."""
    numbers: dict[str, Decimal] = {}
    for name, key in _KEYS.items():
        if (price := told.get(key)) is None:
            continue
        numbers[name] = getattr(price, "base", price)
        for tier in getattr(price, "tiers", ()):
            if start is not None and tier.start <= start:
                numbers[name] = tier.price
    thousand = told.get("requests_kcount")
    request = getattr(thousand, "base", thousand) or Decimal(0)
    return Price(
        numbers["input"],
        numbers["output"],
        cached=numbers.get("cached"),
        cache_write=numbers.get("cache_write"),
        cache_write_1h=numbers.get("cache_write_1h"),
        request=request / 1000,
    )


def _table(target: str, price: Price, source: str, *, rate: Decimal) -> str:
    """The price as a table of TOML, in the currency of the settings."""
    source = f"genai-prices {version('genai-prices')}, {source}"
    lines = ["", "[[prices]]", f"target = {json.dumps(target)}", *_lines(price, rate)]
    lines += [f"source = {json.dumps(source)}", f"date = {datetime.now(UTC):%Y-%m-%d}", ""]
    return "\n".join(lines)


def _lines(price: Price, rate: Decimal) -> Iterator[str]:
    for name in (*_KEYS, "request"):
        value = getattr(price, name)
        if value is not None and (value or name != "request"):
            yield f'{name} = "{(value * rate).quantize(_PLACES, ROUND_UP).normalize():f}"'
    if price.above is not None:
        tokens, above = price.above
        yield f"above = [{tokens}, {{ {', '.join(_lines(above, rate))} }}]"


def _write(file: Path, before: str, after: str, *, asks: bool) -> int:
    """Show what changes, and write it once it is accepted."""
    if _undated(before) == _undated(after):
        print(f"{file} is up to date.")
        return 0
    lines = before.splitlines(), after.splitlines()
    print("\n".join(difflib.unified_diff(*lines, f"{file} now", f"{file} then", lineterm="")))
    if asks:
        if not sys.stdin.isatty():
            return fail("Nothing is written: nobody can be asked here. Accept the prices with --yes.")
        if input(f"Write {file}? [y/N] ").strip().lower() not in ("y", "yes"):
            return fail("Nothing is written.")
    beside = file.with_name(f"{file.name}.new")  # a reload must never read half of it
    beside.write_text(after, "utf-8")
    beside.replace(file)
    print(f"{file} is written. A running server reads it at its next reload.")
    return 0


def _undated(text: str) -> list[str]:
    """The text without the days on which prices were looked up."""
    return [line for line in text.splitlines() if not line.startswith("date = ")]
