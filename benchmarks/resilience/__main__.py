"""Whether the gateway keeps its promises while upstreams fail.

It starts `xrouter serve` and upstreams of which each fails as it is told, as processes of their own that talk over
sockets, and sends requests at a fixed rate, however slow the answers are; latency counts from the moment a request was
due. Upstreams that are well answer after 50 ms. For each goal it prints what was wanted and what was found.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Mapping, Sequence

import uvloop

from .availability import attempts, fallback, faults, outage
from .goal import Finding, Goal, Load
from .isolation import keys, plan, stall

_GOALS: Mapping[str, Goal] = {
    "attempts": attempts,
    "outage": outage,
    "fallback": fallback,
    "faults": faults,
    "keys": keys,
    "stall": stall,
    "plan": plan,
}
_EPILOG = """\
goals:
{goals}

examples:
  python -m benchmarks.resilience                       some nine minutes
  python -m benchmarks.resilience --quick               a minute and a half
  python -m benchmarks.resilience --only outage --outage 60
  python -m benchmarks.resilience --only keys --only stall

The exit code is 0 if every goal was met, else 1. Linux only."""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    outage = options.outage if options.outage is not None else 4.0 if options.quick else 30.0
    load = Load(quick=options.quick, rate=options.rate, outage=outage)
    return uvloop.run(_measure([name for name in _GOALS if name in (options.only or _GOALS)], load))


def _parser() -> argparse.ArgumentParser:
    goals = "\n".join(f"  {name:<10}{(goal.__doc__ or '').strip()}" for name, goal in _GOALS.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.resilience",
        description=__doc__,
        epilog=_EPILOG.format(goals=goals),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="look for a shorter time, and see less")
    parser.add_argument("--only", action="append", choices=_GOALS, metavar="GOAL", help="may be given more than once")
    parser.add_argument("--rate", type=_positive, default=50.0, help="requests a second of a population (default 50)")
    parser.add_argument("--outage", type=_positive, help="seconds of an outage (default 30, or 4 if quick)")
    return parser


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0.")
    return number


async def _measure(names: Sequence[str], load: Load) -> int:
    met = True
    for name in names:
        findings = await _GOALS[name](load)
        print(name)
        width = max(len(finding.what) for finding in findings)
        for finding in findings:
            print(_line(finding, width), flush=True)
        met = met and all(finding.met for finding in findings)
    print("Every goal is met." if met else "NOT every goal is met.")
    return 0 if met else 1


def _line(finding: Finding, width: int) -> str:
    verdict = f"{'ok' if finding.met else 'NOT ok':<6}"
    if sys.stdout.isatty() and not os.environ.get("NO_COLOR"):  # https://no-color.org
        verdict = f"\x1b[{32 if finding.met else 31}m{verdict}\x1b[0m"
    return f"  {verdict}  {finding.what:<{width}}  wanted {finding.wanted:<9} found {finding.found}"


if __name__ == "__main__":
    sys.exit(main())
