"""CPU per request and per streamed chunk: `xrouter serve` against a bare app that only forwards.

Both run at the same time and take turns, so that a noisy machine is noisy for both; what counts is the ratio of the CPU
seconds that the kernel charged to each process, not the clock.

    python -m benchmarks.forwarding
    python -m benchmarks.forwarding --rounds 9 --requests 4000

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
from pathlib import Path

import uvloop

from . import load
from .upstream import CHUNKS

_TICK = os.sysconf("SC_CLK_TCK")


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
    options = parser.parse_args()
    ports = {name: _free_port() for name in ("upstream", "xrouter", "floor")}
    with tempfile.TemporaryDirectory() as folder:
        processes = _start(ports, Path(folder))
        try:
            uvloop.run(_measure(options, ports, processes))
        finally:
            for process in processes.values():
                process.terminate()
            for process in processes.values():
                process.wait()


def _start(ports: dict[str, int], folder: Path) -> dict[str, subprocess.Popen[bytes]]:
    upstream = f"http://127.0.0.1:{ports['upstream']}"
    config = folder / "xrouter.toml"
    config.write_text(
        f'[providers.bench]\nkind = "openai"\nbase_url = "{upstream}/v1"\n[models.bench]\ntargets = ["bench/bench"]\n'
    )
    python = sys.executable
    uvicorn = [python, "-m", "uvicorn", "--no-access-log", "--log-level", "warning", "--no-proxy-headers"]
    commands = {
        "upstream": [python, "-m", "benchmarks.upstream", str(ports["upstream"])],
        "xrouter": [
            str(Path(python).with_name("xrouter")),
            "serve",
            "--config",
            str(config),
            "--port",
            str(ports["xrouter"]),
        ],
        "floor": [*uvicorn, "benchmarks.floor:app", "--port", str(ports["floor"]), "--lifespan", "off"],
    }
    environment = {**os.environ, "BENCH_UPSTREAM": upstream}
    with (folder / "log").open("wb") as log:  # a file, as in operation: what is written there is part of the cost
        return {
            name: subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.DEVNULL)
            for name, command in commands.items()
        }


async def _measure(
    options: argparse.Namespace, ports: dict[str, int], processes: dict[str, subprocess.Popen[bytes]]
) -> None:
    for port in ports.values():
        await _listening(port)
    for title, stream, requests, units in (
        ("plain, CPU us per request", False, options.requests, options.requests),
        ("paced stream, CPU us per chunk", True, options.streams, options.streams * (CHUNKS + 2)),
    ):
        costs: dict[str, list[float]] = {"xrouter": [], "floor": []}
        for turn in range(-1, options.rounds):
            for name, found in costs.items():
                payload = load.request(ports[name], stream=stream)
                before = _cpu(processes[name].pid)
                await load.run(ports[name], payload, requests=requests, connections=options.connections)
                if turn >= 0:  # the turn before the first warms up
                    found.append((_cpu(processes[name].pid) - before) / units * 1e6)
            print(f"\r{title}: turn {turn + 1} of {options.rounds}", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        ratios = [ours / floor for ours, floor in zip(costs["xrouter"], costs["floor"], strict=True)]
        print(
            f"{title}: xrouter {statistics.median(costs['xrouter']):.0f}, forwarder "
            f"{statistics.median(costs['floor']):.0f}, ratio {statistics.median(ratios):.2f} "
            f"({min(ratios):.2f}-{max(ratios):.2f})"
        )


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
