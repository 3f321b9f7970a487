"""Whether what settings need is there, asked of real ones."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from xrouter_asgi.inspection import PartStatus, probe
from xrouter_asgi.keys import SQLKeyStore
from xrouter_asgi.settings import Settings
from xrouter_asgi.testing.http import FakeExchange, FakeServer

ECHO: dict[str, Any] = {"providers": {"echo": {"kind": "echo"}}}


class Listener:
    """Takes whatever is POSTed, or refuses it."""

    def __init__(self) -> None:
        self.status = 200
        self.heard: list[tuple[str, bytes]] = []
        self.server = FakeServer(self._handle)

    async def _handle(self, exchange: FakeExchange) -> None:
        self.heard.append((exchange.path, exchange.body))
        await exchange.answer(self.status, b"", {"content-type": "application/json"})


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    listener = Listener()
    async with listener.server:
        yield listener


async def statuses(**tables: Any) -> list[PartStatus]:
    return await probe(Settings.parse({**ECHO, **tables}))


async def only(**tables: Any) -> PartStatus:
    (status,) = await statuses(**tables)
    return status


async def test_settings_that_need_nothing_are_asked_nothing() -> None:
    assert await statuses() == []


class TestSQLite:
    async def test_a_new_file_is_not_made(self, tmp_path: Path) -> None:
        file = tmp_path / "keys.db"
        assert await only(keys={"url": f"sqlite:///{file}"}) == PartStatus("keys", True, f"{file} is made at first use")
        assert not file.exists()

    async def test_one_with_tables_answers(self, tmp_path: Path) -> None:
        file = tmp_path / "keys.db"
        store = SQLKeyStore(f"sqlite:///{file}")
        await store.list()
        await store.aclose()
        status = await only(keys={"url": f"sqlite:///{file}"})
        assert (status.ok, status.answer) == (True, f"{file} answers, with tables of revision 0002")

    @pytest.mark.parametrize(
        ("statements", "told"),
        [
            (["CREATE TABLE other (a)"], "gets its tables at first use"),
            (
                ["CREATE TABLE xrouter_keys_version (version_num)", "INSERT INTO xrouter_keys_version VALUES ('0000')"],
                "is brought up to revision 0002 at first use",
            ),
        ],
    )
    async def test_one_that_is_not_up_to_date_is_left_as_it_is(
        self, statements: list[str], told: str, tmp_path: Path
    ) -> None:
        file = tmp_path / "keys.db"
        with sqlite3.connect(file) as connection:
            for statement in statements:
                connection.execute(statement)
        connection.close()
        before = file.read_bytes()
        assert await only(keys={"url": f"sqlite:///{file}"}) == PartStatus("keys", True, f"{file} {told}")
        assert file.read_bytes() == before

    async def test_what_is_no_database_fails(self, tmp_path: Path) -> None:
        file = tmp_path / "keys.db"
        file.write_text("This is a text that is no database at all. " * 9)
        status = await only(keys={"url": f"sqlite:///{file}"})
        assert not status.ok
        assert status.answer == f"{file}: file is not a database"


async def test_tables_of_postgresql_must_be_made_first(postgres_url: str) -> None:
    status = await only(keys={"url": postgres_url})
    assert (status.ok, "xrouter keys migrate" in status.answer) == (False, True)
    store = SQLKeyStore(postgres_url)
    await store.migrate()
    await store.aclose()
    assert await only(keys={"url": postgres_url}) == PartStatus("keys", True, "answers, with tables of revision 0002")


async def test_a_database_that_cannot_be_reached_fails() -> None:
    status = await only(keys={"url": "postgresql://me:hidden@127.0.0.1:9/keys"})
    assert not status.ok
    assert "hidden" not in status.answer


async def test_a_redis_that_is_there_answers(redis_url: str) -> None:
    store = {"store": redis_url}
    found = await statuses(rate_limit={"storage": redis_url}, responses=store, cache=store)
    assert found == [PartStatus(part, True, "answers") for part in ("rate_limit", "responses", "cache")]


async def test_a_redis_that_is_away_fails() -> None:
    status = await only(rate_limit={"storage": "redis://127.0.0.1:9/0"})
    assert (status.part, status.ok) == ("rate_limit", False)
    assert "Connect" in status.answer


@pytest.mark.parametrize(("part", "path"), [("tracing", "/v1/traces"), ("metrics.otlp", "/v1/metrics")])
async def test_a_collector_is_sent_nothing_and_must_take_it(part: str, path: str, listener: Listener) -> None:
    collector = {"endpoint": listener.server.url}
    tables = {"tracing": collector} if part == "tracing" else {"metrics": {"otlp": collector}}
    assert await only(**tables) == PartStatus(part, True, "takes what is sent")
    assert [told for told, _ in listener.heard] == [path]
    listener.status = 404
    status = await only(**tables)
    assert (status.ok, status.answer) == (
        False,
        "ExportFailed: The collector at 127.0.0.1 answered with status 404",
    )


async def test_each_channel_of_alerts_is_sent_a_test(listener: Listener) -> None:
    alerts = {"webhook": {"url": f"{listener.server.url}/hook"}}
    assert await only(alerts=alerts) == PartStatus("alerts.webhook", True, "took a test")
    ((path, body),) = listener.heard
    assert (path, b"A test by xrouter check --live" in body) == ("/hook", True)
    listener.status = 403
    status = await only(alerts=alerts)
    assert (status.ok, status.answer) == (False, "Undelivered: 127.0.0.1 answered with status 403.")


async def test_what_does_not_answer_in_time_fails(monkeypatch: pytest.MonkeyPatch, listener: Listener) -> None:
    monkeypatch.setattr("xrouter_asgi.inspection.probing._PATIENCE", 0.0)
    status = await only(alerts={"webhook": {"url": listener.server.url}})
    assert (status.ok, status.answer) == (False, "No answer came in 0 s.")
