"""CPU per request and per streamed chunk: `xrouter serve` against a bare app that only forwards.

Both run at the same time and take turns, so that a noisy machine is noisy for both; what counts is the ratio of the CPU
seconds that the kernel charged to each process, not the clock.

    python -m benchmarks.forwarding
    python -m benchmarks.forwarding --rounds 9 --requests 4000
    python -m benchmarks.forwarding --everything                    also with keys, limits, metrics and tracing
    python -m benchmarks.forwarding --everything --against ../main  also another checkout

Needs the extra `dev` and `pip install httpx-aiohttp`. Linux only.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from secrets import token_hex
from typing import NamedTuple

import uvloop

from . import load
from .subject import BARE, HERE, PARTS, SKINS, command, key
from .upstream import BURST, CHUNKS

_TICK = os.sysconf("SC_CLK_TCK")
_BARE: dict[str, tuple[str, ...]] = {"bare": ()}
_EVERYTHING = {
    **_BARE,
    "tracing": ("tracing",),
    "everything, sampling 0.1": (*SKINS, "tracing-0.1"),
    "everything": (*SKINS, "tracing"),
}
"""What is served, with which parts."""


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.forwarding",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=5, help="turns of each (default 5)")
    parser.add_argument("--requests", type=int, default=3000, help="plain requests a turn (default 3000)")
    parser.add_argument("--streams", type=int, default=200, help="paced streams a turn (default 200)")
    parser.add_argument("--connections", type=int, default=32, help="connections at once (default 32)")
    parser.add_argument("--everything", action="store_true", help="also serve with keys, limits, metrics and tracing")
    parser.add_argument("--against", type=Path, metavar="DIR", help="also serve this checkout")
    options = parser.parse_args()
    trees = {"": HERE} if options.against is None else {f" {options.against.name}": options.against.resolve(), "": HERE}
    rows = _EVERYTHING if options.everything else _BARE
    subjects = {row + name: (tree, parts) for row, parts in rows.items() for name, tree in trees.items()}
    with tempfile.TemporaryDirectory() as folder:
        servers = _Servers(Path(folder))
        try:
            servers.start_upstream_and_floor()
            for name, (tree, parts) in subjects.items():
                servers.start(name, tree, parts)
            uvloop.run(_measure(options, servers))
        finally:
            servers.end()


class _Server(NamedTuple):
    process: subprocess.Popen[bytes]
    port: int
    bearer: str = "x"


class _Servers:
    """The upstream, which takes spans, too; the forwarder, and any number of gateways."""

    def __init__(self, folder: Path) -> None:
        self.running: dict[str, _Server] = {}
        self._folder = folder
        self._upstream = _free_port()

    def start_upstream_and_floor(self) -> None:
        port = _free_port()
        uvicorn = ["-m", "uvicorn", "--no-access-log", "--log-level", "warning", "--no-proxy-headers"]
        self._start("upstream", self._upstream, ["-m", "benchmarks.upstream", str(self._upstream)])
        self._start("forwarder", port, [*uvicorn, "benchmarks.floor:app", "--port", str(port), "--lifespan", "off"])

    def start(self, name: str, tree: Path, parts: Sequence[str]) -> None:
        """Start `xrouter serve` of a checkout with these parts."""
        folder = self._folder / name.replace(" ", "-")
        folder.mkdir()
        config = folder / "xrouter.toml"
        config.write_text("".join([BARE, *(PARTS[part] for part in parts)]).format(port=self._upstream))
        (folder / "secret").write_text(token_hex())
        path = {"PYTHONPATH": str(tree)}
        secret = key(tree, config, {**os.environ, **path}) if "keys" in parts else "x"
        port = _free_port()
        self._start(name, port, [*command(tree), "serve", "--config", str(config), "--port", str(port)], path, secret)

    def _start(
        self, name: str, port: int, arguments: Sequence[str], environment: Mapping[str, str] = {}, bearer: str = "x"
    ) -> None:
        variables = {**os.environ, "BENCH_UPSTREAM": f"http://127.0.0.1:{self._upstream}", **environment}
        with (self._folder / "log").open("ab") as log:  # a file, as in operation: what is written there costs, too
            process = subprocess.Popen(
                [sys.executable, *arguments], env=variables, stdout=log, stderr=subprocess.DEVNULL
            )
        self.running[name] = _Server(process, port, bearer)

    def end(self) -> None:
        for server in self.running.values():
            server.process.terminate()
        for server in self.running.values():
            server.process.wait()


async def _measure(options: argparse.Namespace, servers: _Servers) -> None:
    for server in servers.running.values():
        await _listening(server.port)
    measured = {name: server for name, server in servers.running.items() if name != "upstream"}
    print("| a | by | CPU µs | × forwarder | from-to |\n|---|---|---|---|---|")
    for title, requests, units, connections, stream, members in _scenarios(options):
        costs: dict[str, list[float]] = {name: [] for name in measured}
        for turn in range(-1, options.rounds):
            for name, server in measured.items():
                payload = load.request(server.port, stream=stream, members=members).replace(
                    b"Bearer x", b"Bearer " + server.bearer.encode()
                )
                before = _cpu(server.process.pid)
                await load.run(server.port, payload, requests=requests, connections=connections)
                if turn >= 0:  # the turn before the first warms up
                    costs[name].append((_cpu(server.process.pid) - before) / (requests * units) * 1e6)
            print(f"\r{title}: turn {turn + 1} of {options.rounds}", end="", file=sys.stderr, flush=True)
        print("\r\033[K", end="", file=sys.stderr)
        for name, found in costs.items():
            ratios = [ours / floor for ours, floor in zip(found, costs["forwarder"], strict=True)]
            middle, low, high = statistics.median(ratios), min(ratios), max(ratios)
            print(f"| {title} | {name} | {statistics.median(found):.0f} | {middle:.2f} | {low:.2f}-{high:.2f} |")


class _Scenario(NamedTuple):
    """So many requests, each of so many units, for which the CPU time is told."""

    title: str
    requests: int
    units: int
    connections: int
    stream: bool = False
    members: Mapping[str, object] = {}


def _scenarios(options: argparse.Namespace) -> list[_Scenario]:
    requests, streams, connections = options.requests, options.streams, options.connections
    plain = _Scenario(f"request, {connections} connections", requests, 1, connections)
    paced = _Scenario("chunk of a paced stream", streams, CHUNKS + 2, connections, stream=True)
    if not options.everything:
        return [plain, paced]
    single = _Scenario("request, one connection", max(1, requests // 4), 1, 1)
    burst = _Scenario(
        f"chunk of {BURST} that come at once", streams, BURST + 2, connections, stream=True, members=load.BURST
    )
    return [plain, single, paced, burst, _Scenario("request of 1 MB", max(1, requests // 20), 1, 4, members=load.LONG)]


def _cpu(pid: int) -> float:
    """Seconds of CPU, user and system, that a process has used (proc(5), /proc/pid/stat, fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


async def _listening(port: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.1)
        else:
            writer.close()
            return


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    main()
