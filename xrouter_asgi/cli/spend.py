"""`xrouter spend`: what was spent, by whom and on what."""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from functools import partial
from typing import Final

from ..inspection import in_columns
from ..ledger import LedgerUnavailable, Sum, Where
from ..ledger.days import midnight_before
from ..ledger.report import SINCE, dimensions, moment, sum_document, total, totals_document
from ..limits.prices import in_units
from ..settings import load_ledger
from .base import Commands, add_command, fail

_BAR: Final = 24  # characters of the longest bar
_NOTHING: Final = "Nobody asked for anything."
_EXAMPLES: Final = """\
examples:
  xrouter spend
  xrouter spend --by owner,model --since 30d
  xrouter spend --by month --owner ann --since 2026-01 --csv
  xrouter spend --json | jq -r '.sums[] | [.owner, .cost] | @tsv'

Days are those of [spend] timezone, and counted whole. On PostgreSQL, make the tables once: xrouter spend --migrate"""


def add_spend_command(commands: Commands, environment: Mapping[str, str]) -> None:
    """Add `spend` to the commands of `xrouter`."""
    text = "Show what was spent, by owner, key, group, model, provider, day or month."
    parser = add_command(commands, "spend", partial(_run, environment), text, epilog=_EXAMPLES)
    parser.add_argument(
        "--by", default="owner", metavar="NAMES", help="what to split by, as owner,model; default: owner"
    )
    parser.add_argument("--since", default=SINCE, metavar="WHEN", help="30d, 12h, 2026-11 or 2026-11-30; default: 30d")
    parser.add_argument("--until", metavar="WHEN", help="the last day, in the same forms; default: today")
    for name in ("key", "owner", "group", "model", "provider"):
        parser.add_argument(f"--{name}", help=f"only of this {name}" + (", or pattern" if name == "model" else ""))
    parser.add_argument("--url", help="the database; default: [spend] or [keys] of the settings")
    parser.add_argument("--config", metavar="FILE", help="settings; default: $XROUTER_CONFIG, else ./xrouter.toml")
    parser.add_argument("--migrate", action="store_true", help="make the tables, or bring them up to date, and end")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", dest="write", action="store_const", const=_write_json, help="write JSON, for scripts")
    form.add_argument("--csv", dest="write", action="store_const", const=_write_csv, help="write CSV, for spreadsheets")
    parser.set_defaults(write=_write_text)


def _run(environment: Mapping[str, str], options: argparse.Namespace) -> int:
    try:
        return asyncio.run(_spend(options, environment))
    except LedgerUnavailable as error:
        return fail(f"The ledger cannot be asked. {error.detail or error.message}")
    except (ValueError, ModuleNotFoundError) as error:
        return fail(str(error))


async def _spend(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    from ..ledger import SQLLedger  # here, because it needs an extra

    url, currency, zone = load_ledger(options.config, url=options.url, environment=environment)
    now = datetime.now(UTC)
    by = dimensions(options.by)
    since = moment(options.since, now=now, zone=zone)
    until = now if options.until is None else moment(options.until, now=now, zone=zone)
    where = Where(options.key, options.owner, options.group, options.model, options.provider)
    ledger = SQLLedger(url, timezone=zone)
    try:
        if options.migrate:
            await ledger.migrate()
            print("The tables of the ledger are up to date.")
            return 0
        sums = await ledger.sums(by=by, since=since, until=until, where=where)
        # Groups share requests, so the whole is not the sum of theirs.
        (whole,) = await ledger.sums(by=(), since=since, until=until, where=where) or [Sum({}, total(()))]
    finally:
        await ledger.aclose()
    options.write(by, sums, whole, _period(since, until, zone), currency)
    return 0


def _period(since: datetime, until: datetime, zone: tzinfo) -> tuple[str, str]:
    """The first day and the last one."""
    return midnight_before(since, zone).date().isoformat(), until.astimezone(zone).date().isoformat()


def _write_json(by: Sequence[str], sums: Sequence[Sum], whole: Sum, period: tuple[str, str], currency: str) -> None:
    first, last = period
    document = {
        "since": first,
        "until": last,
        "currency": currency,
        "total": totals_document(whole.totals),
        "sums": [sum_document(each) for each in sums],
    }
    print(json.dumps(document, ensure_ascii=False))


def _write_csv(by: Sequence[str], sums: Sequence[Sum], whole: Sum, period: tuple[str, str], currency: str) -> None:
    rows = csv.writer(sys.stdout, lineterminator="\n")
    rows.writerow([*by, *totals_document(whole.totals), "currency"])
    rows.writerows(
        [*map(_harmless, each.by.values()), *totals_document(each.totals).values(), currency] for each in sums
    )


def _write_text(by: Sequence[str], sums: Sequence[Sum], whole: Sum, period: tuple[str, str], currency: str) -> None:
    first, last = period
    print(f"{first} to {last}, in {currency}")
    if not sums:
        print(_NOTHING)
        return
    most = max(_weight(each, whole) for each in sums)
    rows = [(*by, "requests", "failed", "input", "output", "cost", "")]
    for each in sums:
        share = _weight(each, whole)
        bar = "█" * round(_BAR * share / most) if most else ""
        rows.append((*(_shown(name) for name in each.by.values()), *_numbers(each), f"{bar} {share:.0%}".strip()))
    if len(sums) > 1 and by:
        rows.append(("all", *[""] * (len(by) - 1), *_numbers(whole), ""))
    print(in_columns(_right(rows, range(len(by), len(by) + 5))))
    if whole.totals.unpriced:
        print(f"\n{whole.totals.unpriced} requests are not in the cost, because their model has no price.")


def _weight(each: Sum, whole: Sum) -> float:
    """Its share of the cost; where nothing has a price, of the requests."""
    if whole.totals.cost:
        return each.totals.cost / whole.totals.cost
    return each.totals.requests / whole.totals.requests


def _numbers(each: Sum) -> Sequence[str]:
    totals = each.totals
    return (
        *(f"{number:,}" for number in (totals.requests, totals.errors, totals.input, totals.output)),
        in_units(totals.cost),
    )


def _right(rows: Sequence[Sequence[str]], columns: range) -> Sequence[Sequence[str]]:
    """The rows with these columns set to the right."""
    widths = {column: max(len(row[column]) for row in rows) for column in columns}
    return [[cell.rjust(widths.get(column, 0)) for column, cell in enumerate(row)] for row in rows]


def _shown(name: str) -> str:
    """A name that gives no orders to a terminal."""
    return (name if name.isprintable() else ascii(name)) or "-"


def _harmless(name: str) -> str:
    """A name that no spreadsheet takes for a formula (https://owasp.org/www-community/attacks/CSV_Injection)."""
    return f"'{name}" if name[:1] in ("=", "+", "-", "@", "\t", "\r") else name
