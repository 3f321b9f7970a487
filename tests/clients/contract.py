"""What every client has to understand: inherit, and give the fixture `client`.

class TestOpenAI(ClientContract):
    @pytest.fixture
    async def client(self) -> AsyncIterator[Client]: ...
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import ClassVar, TypeAlias

import pytest

from .asking import Answer, Case, Failed, Question, Said, described
from .corpus import CASES, FAILURES, KINDS, NO_PICTURES, PICTURES, PNG, REFUSED, SCHEMA, STRUCTURED, Failure
from .gateway import Stand

Client: TypeAlias = Callable[[Question], Awaitable[Answer]]
"""Asks, and gives what it understood. Raises `Failed`."""

ASKED = [
    pytest.param(case, mode == "stream", id=f"{case.name}-{mode}")
    for case in CASES
    for mode in ("whole", "stream")
    if getattr(case, mode) is not None
]
ONE = [each for each in ASKED if len(each.values[0].answer.choices) == 1]  # type: ignore[union-attr]  # they are cases
SEVERAL = [each for each in ASKED if each not in ONE]
CALLING = [each for each in ONE if each.values[0].calls]  # type: ignore[union-attr]  # they are cases
FAILING = [
    pytest.param(failure, mode == "stream", id=f"{failure.name}-{mode}")
    for failure in FAILURES
    for mode in failure.modes
]
each_mode = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
each_picture = pytest.mark.parametrize("picture", PICTURES.values(), ids=PICTURES)


class ClientContract:
    """For any client, whatever dialect it speaks.

    Attributes:
        statuses: That its dialect has in place of chat's, by code.
        estimates: Whether its dialect estimates tokens that the upstream does not count.
    """

    statuses: ClassVar[Mapping[str | None, int]] = {}
    estimates: ClassVar[bool] = False

    @pytest.mark.parametrize(("case", "stream"), ONE)
    async def test_an_answer_is_understood(self, client: Client, gateway: Stand, case: Case, stream: bool) -> None:
        told = await client(Question(gateway.url, case.name, stream=stream))
        if case.answer.usage is None and self.estimates:
            assert told.usage is not None
            told = replace(told, usage=None)
        assert told == case.answer
        ids = [call.id for call in told.choices[0].calls]
        assert len(set(ids)) == len(ids)

    @pytest.mark.parametrize(("case", "stream"), CALLING)
    async def test_calls_come_back_with_their_results(
        self, client: Client, gateway: Stand, case: Case, stream: bool
    ) -> None:
        told = await client(Question(gateway.url, case.name, stream=stream, loop=True))
        text = described((call.name, call.arguments) for call in case.calls)
        assert told.choices == (Said(text),)

    @pytest.mark.parametrize(("failure", "stream"), FAILING)
    async def test_a_failure_is_told(
        self, client: Client, fresh_gateway: Stand, failure: Failure, stream: bool
    ) -> None:
        with pytest.raises(Failed) as caught:
            await client(Question(fresh_gateway.url, failure.name, stream=stream))
        status = self.statuses.get(failure.code, failure.status) if failure.status else None
        assert caught.value.status == status
        assert caught.value.code in (failure.code, None)
        assert failure.words in caught.value.message

    @pytest.mark.parametrize(("failure", "stream"), [each for each in FAILING if each.values[0].falls_back])  # type: ignore[union-attr]  # they are failures
    async def test_the_next_target_answers(
        self, client: Client, fresh_gateway: Stand, failure: Failure, stream: bool
    ) -> None:
        told = await client(Question(fresh_gateway.url, f"backed/{failure.name}", stream=stream))
        assert told.choices == (Said("Hello, world!"),)

    @each_picture
    async def test_a_picture_arrives(self, client: Client, gateway: Stand, picture: str) -> None:
        told = await client(Question(gateway.url, "picture", content=showing(picture)))
        assert told.choices == (Said("You said: What is this?"),)
        (upload,) = gateway.pictures()
        assert upload == ("image/png", PNG)

    @pytest.mark.parametrize("picture", NO_PICTURES.values(), ids=NO_PICTURES)
    async def test_what_is_no_picture_is_refused(self, client: Client, gateway: Stand, picture: str) -> None:
        with pytest.raises(Failed) as caught:
            await client(Question(gateway.url, "picture", content=showing(picture)))
        assert caught.value.status == 400


class DialectContract(ClientContract):
    """For a client that speaks another dialect than chat.

    Attributes:
        refused: The finish that it tells of a refusal.
    """

    refused: ClassVar[str] = "stop"

    @each_mode
    @pytest.mark.parametrize("case", KINDS, ids=lambda case: case.name)
    async def test_every_kind_of_answer_is_understood(
        self, client: Client, gateway: Stand, case: Case, stream: bool
    ) -> None:
        assert await client(Question(gateway.url, case.name, stream=stream)) == case.answer

    @each_mode
    async def test_a_refusal_is_understood(self, client: Client, gateway: Stand, stream: bool) -> None:
        told = await client(Question(gateway.url, REFUSED.name, stream=stream))
        assert told.choices == (Said("I will not.", finish=self.refused),)

    @each_mode
    async def test_a_structured_answer_is_understood(self, client: Client, gateway: Stand, stream: bool) -> None:
        told = await client(Question(gateway.url, STRUCTURED.name, stream=stream, schema=SCHEMA))
        assert told == STRUCTURED.answer


class SeveralChoicesContract(ClientContract):
    """For one that can ask for several choices."""

    @pytest.mark.parametrize(("case", "stream"), SEVERAL)
    async def test_several_choices_are_understood(
        self, client: Client, gateway: Stand, case: Case, stream: bool
    ) -> None:
        told = await client(Question(gateway.url, case.name, stream=stream, choices=len(case.answer.choices)))
        assert told == case.answer


def showing(url: str) -> list[dict[str, object]]:
    """The content of a message with a picture."""
    return [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": url}}]
