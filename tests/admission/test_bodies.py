"""The budget of the bodies of requests."""

from __future__ import annotations

from xrouter_asgi.admission import BodyBudget
from xrouter_asgi.admission.bodies import SMALL

MIB = 1 << 20


def test_the_bodies_of_all_are_bounded_together() -> None:
    budget = BodyBudget(10 * MIB, most_of_key=10 * MIB)
    assert budget.take(6 * MIB, "a", before=0) is None
    assert budget.take(6 * MIB, "b", before=0) == "bodies"
    assert budget.held == 6 * MIB


def test_the_bodies_of_one_key_are_bounded() -> None:
    budget = BodyBudget(10 * MIB, most_of_key=4 * MIB)
    assert budget.take(3 * MIB, "a", before=0) is None
    assert budget.take(3 * MIB, "a", before=0) == "bodies_of_key"
    assert budget.take(3 * MIB, "b", before=0) is None


def test_what_nobody_sends_is_bounded_by_the_sum_alone() -> None:
    budget = BodyBudget(10 * MIB, most_of_key=1)
    assert budget.take(9 * MIB, "", before=0) is None
    assert budget.take(9 * MIB, "", before=0) == "bodies"


def test_a_small_body_is_counted_and_never_refused() -> None:
    budget = BodyBudget(1, most_of_key=1)
    assert budget.take(SMALL, "a", before=0) is None
    assert budget.take(1, "a", before=SMALL) == "bodies"
    assert budget.held == SMALL


def test_what_is_given_back_can_be_taken_again() -> None:
    budget = BodyBudget(MIB, most_of_key=MIB)
    for _ in range(3):
        assert budget.take(MIB, "a", before=0) is None
        budget.give_back(MIB, "a")
    assert budget.held == 0
