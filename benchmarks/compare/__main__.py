"""This gateway beside others: CPU time, answers a second, how long answers take, and memory, as ratios.

A fast upstream, bare forwarders, this gateway bare and with everything on (keys, limits, metrics, all traces exported,
the access log), and every other gateway that is installed get the same requests, and take turns second by second, so
that whatever else the machine does falls on all alike. Trust the ratios, and those as far as their spread lets you.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import uvloop

from ..report import PAGE, save
from ..servers import DidNotStart, Server, Servers, free_port
from ..subject import SKINS
from ..turns import SCENARIOS, progress, take_turns
from .comparison import CONSTANT, REFERENCE, TITLE, Comparison, Footprint
from .growth import GROWTH, growth
from .peers import KNOWN, PEERS

_EPILOG = f"""\
examples:
  python -m benchmarks.compare                               with every gateway that is in {PEERS}
  python -m benchmarks.compare --with litellm portkey=/srv   with these, the second in another folder
  python -m benchmarks.compare --with --rounds 2             with none, and quicker
  python -m benchmarks.compare --growth                      how the cost of this gateway grows
  python -m benchmarks.compare --growth keys workers         with these
  python -m benchmarks.compare --save                        put tables and plot into docs/

Needs the extra `dev` and `pip install httpx-aiohttp`. Linux only.
"""
_OVERHEAD = 1.3  # seconds of a turn of one second, with what is left when it ends


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if options.growth is not None:
        tables = []
        for what in options.growth or GROWTH:
            tables.append(uvloop.run(growth(what, rounds=options.rounds, seconds=options.seconds)))
            print(f"{tables[-1]}\n", flush=True)
        if options.save:
            save("growth", "\n\n".join(tables))
        return 0
    found = uvloop.run(_compare(wanted(options.peers), options.rounds, options.seconds))
    text = found.tables()
    print(text)
    options.json.write_text(found.as_json() + "\n")
    plot = PAGE.parent / "img" / "compare.svg" if options.save else options.plot
    found.draw(plot)
    print(f"Every turn is in {options.json}, and the plot is {plot}.", file=sys.stderr)
    if options.save:
        save("compare", f"![{TITLE}](img/compare.svg)\n\n{text}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.compare",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--with",
        dest="peers",
        nargs="*",
        metavar="NAME[=FOLDER]",
        help=f"other gateways: {', '.join(KNOWN)} (default: all that are in {PEERS}/NAME)",
    )
    parser.add_argument("--growth", nargs="*", choices=GROWTH, help="measure how cost grows, with these or with all")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each (default 5)")
    parser.add_argument("--seconds", type=float, default=1.0, help="of a turn (default 1)")
    parser.add_argument("--json", type=Path, default=Path("compare.json"), metavar="FILE", help="where all turns go")
    parser.add_argument("--plot", type=Path, default=Path("compare.svg"), metavar="FILE", help="where the plot goes")
    parser.add_argument("--save", action="store_true", help="put tables and plot into docs/ in place of the last ones")
    return parser


def wanted(named: Sequence[str] | None) -> dict[str, Path]:
    """Which other gateways are measured, and their folders. Tells how to install those that are missing."""
    wanted = {}
    for each in KNOWN if named is None else named:
        name, _, place = each.partition("=")
        if name not in KNOWN:
            raise SystemExit(f"{name!r} is not known here. Known: {', '.join(KNOWN)}.")
        folder = Path(place or PEERS / name)
        if KNOWN[name].installed(folder):
            wanted[name] = folder.absolute()
        else:
            how = KNOWN[name].how_to_install(folder)
            print(f"{KNOWN[name].title} is left out. To install it: {how}", file=sys.stderr)
    return wanted


async def _compare(peers: Mapping[str, Path], rounds: int, seconds: float) -> Comparison:
    async with Servers() as servers:
        running = await _start(servers, peers)
        minutes = len(running) * len(SCENARIOS) * (rounds + 1) * seconds * _OVERHEAD / 60
        print(f"{len(running)} servers, {len(SCENARIOS)} scenarios: about {minutes:.0f} minutes", file=sys.stderr)
        idle = {name: server.memory() for name, server in running.items()}
        scenarios = {
            scenario.title: await take_turns(
                {
                    name: (server, scenario)
                    for name, server in running.items()
                    if not scenario.stream or name != CONSTANT
                },
                rounds=rounds,
                seconds=seconds,
                title=scenario.title,
            )
            for scenario in SCENARIOS
        }
        footprints = {name: Footprint(server.started, idle[name], server.memory()) for name, server in running.items()}
    return Comparison(_about(peers), scenarios, footprints)


async def _start(servers: Servers, peers: Mapping[str, Path]) -> dict[str, Server]:
    """Start all of them, one after the other. A gateway that does not start is told, and left out."""
    progress("starting")
    running = {
        "the upstream itself": servers.direct,
        CONSTANT: await servers.asgi("constant", "benchmarks.constant:app"),
        REFERENCE: await servers.asgi("forwarder", "benchmarks.floor:app"),
        "forwarder, httpx alone": await servers.asgi("plain", "benchmarks.floor:plain"),
        "xrouter, bare": await servers.gateway("bare"),
        "xrouter, everything on": await servers.gateway("everything", (*SKINS, "tracing")),
    }
    for name, folder in peers.items():
        progress(f"starting {name}")
        peer, port = KNOWN[name], free_port()
        upstream = f"http://127.0.0.1:{servers.upstream}"
        launch = peer.launch(folder / peer.program, servers.folder(name), port, upstream)
        try:
            running[peer.title] = await servers.start(name, launch)
        except DidNotStart as error:
            progress("")
            print(error, file=sys.stderr)
    progress("")
    return running


def _about(peers: Mapping[str, Path]) -> dict[str, str]:
    return {
        "On": time.strftime("%-d %B %Y", time.gmtime()),
        "cores:": str(os.cpu_count()),
        "Python": platform.python_version(),
        **{KNOWN[name].title: KNOWN[name].version(folder) for name, folder in peers.items()},
    }


if __name__ == "__main__":
    sys.exit(main())
