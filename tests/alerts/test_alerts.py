"""When channels are told, and what a channel that fails harms: nothing."""

from __future__ import annotations

import asyncio
import logging
from contextvars import ContextVar
from functools import partial

import pytest

from tests.alerts.happenings import Watched
from xrouter_asgi.alerts import Alert, Alerts, CircuitsOpen, ErrorShare, Finding, Undelivered
from xrouter_asgi.testing.virtual import now, virtual

SECRET: ContextVar[str] = ContextVar("secret", default="")


class Switch:
    """A rule that concludes from a text `wrong` or `well`, of the subject after it."""

    def __init__(self, name: str = "switch") -> None:
        self.name = name

    def __call__(self, event: object, now: float, /) -> Finding | None:
        word, _, subject = str(event).partition(" ")
        return Finding(subject, word == "wrong", f"{subject} is {word}.") if word in ("wrong", "well") else None


class TestWhen:
    @virtual
    async def test_what_lasts_is_told_once_in_a_cooldown(self) -> None:
        watched = Watched(Switch(), cooldown=600)
        assert await watched.see("wrong it", "wrong it") == ["it is wrong."]
        assert await watched.see_later(599, "wrong it", "") == []
        assert await watched.see_later(1, "") == ["it is wrong."]

    @virtual
    async def test_the_end_is_told_once_and_at_once(self) -> None:
        watched = Watched(Switch())
        assert await watched.see("wrong it", "well it", "well it") == ["it is wrong.", "ok: it is well."]

    @virtual
    async def test_what_is_well_from_the_start_is_not_told(self) -> None:
        assert await Watched(Switch()).see("well it") == []

    @virtual
    async def test_what_comes_and_goes_within_a_cooldown_is_told_once(self) -> None:
        watched = Watched(Switch(), cooldown=600)
        await watched.see("wrong it", "well it")
        assert await watched.see("wrong it", "well it", "wrong it") == []

    @virtual
    async def test_what_came_back_in_the_cooldown_is_told_after_it(self) -> None:
        watched = Watched(Switch(), cooldown=600)
        await watched.see("wrong it", "well it", "wrong it")
        assert await watched.see_later(600, "any other event") == ["it is wrong."]
        assert await watched.see("well it") == ["ok: it is well."]

    @virtual
    async def test_subjects_and_rules_have_cooldowns_of_their_own(self) -> None:
        watched = Watched(Switch("one"), Switch("other"))
        await watched.see("wrong a", "wrong b")
        assert [(alert.rule, alert.subject) for alert in watched.told] == [
            ("one", "a"),
            ("other", "a"),
            ("one", "b"),
            ("other", "b"),
        ]

    def test_a_cooldown_of_nothing_is_refused(self) -> None:
        with pytest.raises(ValueError, match="cooldown"):
            Alerts([], [], cooldown=0)

    def test_two_rules_of_one_name_are_refused(self) -> None:
        with pytest.raises(ValueError, match="circuit_open, circuit_open, error_share"):
            Alerts([CircuitsOpen(), ErrorShare(), CircuitsOpen()], [])


class TestChannels:
    async def test_every_channel_is_told_whether_it_waits_or_not(self) -> None:
        told: list[Alert] = []

        async def later(alert: Alert) -> None:
            await asyncio.sleep(0)
            told.append(alert)

        alerts = Alerts([Switch()], [told.append, later])
        alerts("wrong it")
        assert told == []
        await alerts.aclose()
        assert len(told) == 2

    async def test_one_that_fails_keeps_no_other_from_being_told(self, caplog: pytest.LogCaptureFixture) -> None:
        told: list[Alert] = []

        def broken(alert: Alert, token: str) -> None:
            raise KeyError

        async def away(alert: Alert) -> None:
            raise Undelivered("hooks.example is away.")

        alerts = Alerts([Switch()], [partial(broken, token="s3cret"), away, told.append])
        alerts("wrong it")
        alerts("well it")
        await alerts.aclose()
        assert [alert.recovered for alert in told] == [False, True]
        assert "An alert was not delivered. hooks.example is away. It was: it is wrong." in caplog.text
        assert "partial failed on the alert: it is wrong." in caplog.text
        assert "s3cret" not in caplog.messages

    @virtual
    async def test_one_that_hangs_is_given_up(self) -> None:
        told: list[float] = []

        async def hanging(alert: Alert) -> None:
            await asyncio.sleep(1e9)

        alerts = Alerts([Switch()], [hanging, lambda alert: told.append(now())])
        alerts("wrong it")
        alerts("well it")
        await asyncio.sleep(21)
        assert told == [0, 10]

    @virtual
    async def test_closing_waits_no_longer_than_its_patience(self) -> None:
        ended = asyncio.Event()

        async def hanging(alert: Alert) -> None:
            try:
                await asyncio.sleep(1e9)
            finally:
                ended.set()

        alerts = Alerts([Switch()], [hanging])
        for _ in range(3):
            alerts("wrong it")
            alerts("well it")
        await alerts.aclose()
        assert now() == 10
        assert ended.is_set()

    async def test_a_dead_channel_keeps_no_more_than_a_hundred_alerts(self) -> None:
        told: list[Alert] = []
        free = asyncio.Event()

        async def stuck(alert: Alert) -> None:
            told.append(alert)
            await free.wait()

        alerts = Alerts([Switch()], [stuck])
        for number in range(150):
            alerts(f"wrong {number}")
        free.set()
        await alerts.aclose()
        assert [alert.subject for alert in told] == [str(number) for number in range(100)]

    async def test_telling_does_not_take_the_context_of_the_request_along(self) -> None:
        seen: list[str] = []
        alerts = Alerts([Switch()], [lambda alert: seen.append(SECRET.get())])
        SECRET.set("of a request")
        alerts("wrong it")
        await alerts.aclose()
        assert seen == [""]

    async def test_there_is_no_task_when_there_is_nothing_to_tell(self) -> None:
        alerts = Alerts([Switch()], [])
        alerts("any event")
        await alerts.aclose()
        alerts("wrong it")
        await alerts.aclose()
        assert len(asyncio.all_tasks()) == 1

    async def test_it_can_tell_again_after_it_was_done(self) -> None:
        watched = Watched(Switch())
        assert await watched.see("wrong a") == ["a is wrong."]
        assert await watched.see("wrong b") == ["b is wrong."]


def test_an_alert_that_has_no_room_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def fill() -> None:
        alerts = Alerts([Switch()], [])
        for number in range(101):
            alerts(f"wrong {number}")
        await alerts.aclose()

    with caplog.at_level(logging.WARNING, logger="xrouter"):
        asyncio.run(fill())
    assert caplog.messages == ["An alert is lost, because 100 wait for slow channels: 100 is wrong."]
