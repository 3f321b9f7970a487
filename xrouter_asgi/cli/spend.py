"""`xrouter spend`: what was spent, by whom and on what."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from ..inspection import in_columns
from ..ledger import LedgerUnavailable, Spend, SpendReport, Totals, Where
from ..ledger.report import SINCE
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
    where = Where(options.key, options.owner, options.group, options.model, options.provider)
    ledger = SQLLedger(url, timezone=zone)
    try:
        if options.migrate:
            await ledger.migrate()
            print("The tables of the ledger are up to date.")
            return 0
        spend = Spend(ledger, currency=currency, timezone=zone)
        report = await spend.report(by=options.by, since=options.since, until=options.until, where=where)
    finally:
        await ledger.aclose()
    options.write(report)
    return 0


def _write_json(report: SpendReport) -> None:
    print(json.dumps(report.document(), ensure_ascii=False))


def _write_csv(report: SpendReport) -> None:
    sys.stdout.write(report.csv())


def _write_text(report: SpendReport) -> None:
    by, total = report.by, report.total
    print(f"{report.since} to {report.until}, in {report.currency}")
    if not report.sums:
        print(_NOTHING)
        return
    most = max(report.share(each) for each in report.sums)
    rows = [(*by, "requests", "failed", "input", "output", "cost", "")]
    for each in report.sums:
        share = report.share(each)
        bar = "█" * round(_BAR * share / most) if most else ""
        names = [_shown(name) for name in each.by.values()]
        rows.append((*names, *_numbers(each.totals), f"{bar} {share:.0%}".strip()))
    if len(report.sums) > 1 and by:
        rows.append(("all", *[""] * (len(by) - 1), *_numbers(total), ""))
    print(in_columns(_right(rows, range(len(by), len(by) + 5))))
    if total.unpriced:
        print(f"\nNot in the cost, because their model has no price: {total.unpriced} of {total.requests} requests.")


def _numbers(totals: Totals) -> Sequence[str]:
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
