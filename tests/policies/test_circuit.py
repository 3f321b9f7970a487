from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from xrouter_asgi.policies.circuit import Circuit, Generation, Thresholds


def fail(circuit: Circuit, times: int, *, at: float = 0.0) -> None:
    for _ in range(times):
        tell(circuit, at, "failure")


def state_of(circuit: Circuit) -> str:
    return circuit.state  # as a word, which may have changed whatever was asserted before


def tell(circuit: Circuit, at: float, outcome: str) -> None:
    generation = circuit.admit(at)
    assert generation is not None
    getattr(circuit, outcome)(generation, at)


def opened(**options: Any) -> Circuit:
    """A circuit that opened at 0."""
    circuit = Circuit(Thresholds(minimum=1, **options))
    fail(circuit, 1)
    assert state_of(circuit) == "open"
    return circuit


def test_it_opens_at_its_share_of_failures() -> None:
    circuit = Circuit(Thresholds(minimum=4, failure_share=0.5))
    for outcome in ("success", "success", "failure"):
        tell(circuit, 0.0, outcome)
    assert state_of(circuit) == "closed"
    tell(circuit, 0.0, "failure")
    assert state_of(circuit) == "open"


def test_it_concludes_nothing_from_few_calls() -> None:
    circuit = Circuit(Thresholds(minimum=20))
    fail(circuit, 19)
    assert state_of(circuit) == "closed"
    fail(circuit, 1)
    assert state_of(circuit) == "open"


def test_what_is_long_ago_does_not_count() -> None:
    circuit = Circuit(Thresholds(minimum=20, window=30.0))
    fail(circuit, 15, at=0.0)
    tell(circuit, 4.0, "success")
    fail(circuit, 18, at=30.0)
    assert state_of(circuit) == "closed"
    fail(circuit, 1, at=30.0)
    assert state_of(circuit) == "open"


def test_so_many_failures_in_a_row_open_it_whatever_was_before() -> None:
    circuit = Circuit(Thresholds(minimum=20))
    for _ in range(1500):
        tell(circuit, 0.0, "success")
    fail(circuit, 19)
    assert state_of(circuit) == "closed"
    fail(circuit, 1)
    assert state_of(circuit) == "open"


def test_failures_are_in_a_row_however_far_apart_they_are() -> None:
    circuit = Circuit(Thresholds(minimum=20, window=30.0))
    for minute in range(20):
        assert state_of(circuit) == "closed"
        fail(circuit, 1, at=60.0 * minute)
    assert state_of(circuit) == "open"


def test_one_answer_ends_a_row() -> None:
    circuit = Circuit(Thresholds(minimum=3, failure_share=1.0))
    tell(circuit, 0.0, "success")
    for _ in range(10):
        fail(circuit, 2)
        tell(circuit, 0.0, "success")
    assert state_of(circuit) == "closed"


def test_answers_that_break_off_at_once_are_no_row() -> None:
    circuit = Circuit(Thresholds(minimum=3))
    generations = [circuit.admit(0.0) for _ in range(12)]
    for generation in generations:
        assert generation is not None
        circuit.success(generation, 0.0)
    for generation in generations[:5]:
        assert generation is not None
        circuit.broken_off(generation, 1.0)
    assert state_of(circuit) == "closed"


def test_a_row_does_not_go_on_after_it_has_closed() -> None:
    circuit = Circuit(Thresholds(minimum=2))
    fail(circuit, 2)
    tell(circuit, 5.0, "success")
    fail(circuit, 1, at=5.0)
    assert state_of(circuit) == "closed"


def test_late_failures_of_calls_from_before_it_opened_are_no_row_after_it_has_closed() -> None:
    circuit = Circuit(Thresholds(minimum=3))
    late = [circuit.admit(0.0) for _ in range(2)]
    fail(circuit, 3)
    tell(circuit, 5.0, "success")
    assert state_of(circuit) == "closed"
    for generation in late:
        assert generation is not None
        circuit.failure(generation, 6.0)
    fail(circuit, 1, at=6.0)
    assert state_of(circuit) == "closed"


def test_answers_that_break_off_count_as_failures() -> None:
    circuit = Circuit(Thresholds(minimum=2, failure_share=1.0))
    for _ in range(2):
        generation = circuit.admit(0.0)
        assert generation is not None
        circuit.success(generation, 0.0)
        assert state_of(circuit) == "closed"
        circuit.broken_off(generation, 1.0)
    assert state_of(circuit) == "open"


def test_open_it_lets_nobody_through_until_its_time_is_over() -> None:
    circuit = opened(open_for=5.0)
    assert circuit.admit(4.9) is None
    assert circuit.left(4.9) == pytest.approx(0.1)
    assert circuit.admit(5.0) is not None
    assert state_of(circuit) == "half_open"


def test_half_open_it_lets_only_probes_through() -> None:
    circuit = opened(probes=2)
    generations = [circuit.admit(5.0) for _ in range(3)]
    assert generations[0] == generations[1] is not None
    assert generations[2] is None
    assert circuit.left(5.0) == 1.0


def test_it_closes_when_every_probe_was_answered() -> None:
    circuit = opened(probes=2)
    tell(circuit, 5.0, "success")
    assert state_of(circuit) == "half_open"
    tell(circuit, 5.0, "success")
    assert state_of(circuit) == "closed"


@pytest.mark.parametrize("outcome", ["failure", "broken_off"])
def test_a_probe_that_fails_opens_it_for_twice_as_long_up_to_a_bound(outcome: str) -> None:
    circuit = opened(open_for=5.0, open_at_most=12.0)
    at, waits = 0.0, []
    for _ in range(4):
        waits.append(circuit.wait)
        at += circuit.wait
        tell(circuit, at, outcome)
        assert state_of(circuit) == "open"
    assert waits == [5.0, 10.0, 12.0, 12.0]


def test_while_a_probe_says_nothing_another_goes_each_time_as_much_has_passed() -> None:
    circuit = opened(open_for=5.0)
    assert circuit.admit(7.0) is not None
    assert circuit.admit(11.9) is None
    assert circuit.admit(12.0) is not None
    assert circuit.admit(12.0) is None
    assert circuit.admit(17.0) is not None
    assert state_of(circuit) == "half_open"


@pytest.mark.parametrize(("outcome", "state"), [("success", "closed"), ("failure", "open")])
def test_what_a_probe_says_late_counts_like_what_the_next_one_says(outcome: str, state: str) -> None:
    for late in (True, False):
        circuit = opened(open_for=5.0)
        first, second = circuit.admit(5.0), circuit.admit(10.0)
        assert first is not None
        assert second is not None
        getattr(circuit, outcome)(first if late else second, 11.0)
        assert state_of(circuit) == state


def test_how_long_a_probe_took_to_fail_is_part_of_the_time_until_the_next() -> None:
    circuit = opened(open_for=5.0)
    generation = circuit.admit(5.0)
    assert generation is not None
    circuit.failure(generation, 8.0)
    assert (state_of(circuit), circuit.left(8.0)) == ("open", 7.0)


@pytest.mark.parametrize("takes", [0.0, 2.0, 120.0])
def test_an_upstream_that_is_back_is_tried_within_10_s_however_long_it_was_away(takes: float) -> None:
    for away in range(1, 400, 7):
        circuit = opened()
        under_way: list[tuple[float, int]] = []
        for now in range(away):
            while under_way and under_way[0][0] <= now:
                circuit.failure(under_way.pop(0)[1], now)
            if (generation := circuit.admit(now)) is not None:
                under_way.append((now + takes, generation))
        assert any(circuit.admit(away + later) is not None for later in range(11))


def test_having_closed_it_starts_with_the_first_wait_again() -> None:
    circuit = opened(open_for=5.0)
    tell(circuit, 5.0, "failure")
    tell(circuit, 15.0, "success")
    fail(circuit, 1, at=15.0)
    assert circuit.wait == 5.0


def test_a_probe_that_learnt_nothing_makes_room_for_another() -> None:
    circuit = opened()
    generation = circuit.admit(5.0)
    assert generation is not None
    assert circuit.admit(5.0) is None
    circuit.no_result(generation)
    assert circuit.admit(5.0) == generation


def test_what_began_before_a_change_of_state_does_not_count_after_it() -> None:
    circuit = Circuit(Thresholds(minimum=2))
    late = circuit.admit(0.0)
    assert late is not None
    fail(circuit, 2)
    probe = circuit.admit(5.0)
    assert probe is not None
    circuit.failure(late, 5.0)
    circuit.success(late, 5.0)
    circuit.broken_off(late, 5.0)
    circuit.no_result(late)
    assert state_of(circuit) == "half_open"
    circuit.success(probe, 5.0)
    assert state_of(circuit) == "closed"
    circuit.broken_off(probe, 6.0)
    fail(circuit, 1, at=6.0)
    assert state_of(circuit) == "closed"


def test_it_stays_closed_while_it_may_not_open() -> None:
    may = False
    circuit = Circuit(Thresholds(minimum=1), may_open=lambda: may)
    fail(circuit, 5)
    assert state_of(circuit) == "closed"
    may = True
    fail(circuit, 1)
    assert state_of(circuit) == "open"


class CircuitMachine(RuleBasedStateMachine):
    """Whatever the order of calls and outcomes, the picture in the docstring holds."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.circuit = Circuit(Thresholds(minimum=3, window=10.0, open_for=2.0, open_at_most=8.0, probes=2))
        self.under_way: list[tuple[Generation, str, float]] = []
        self.since = 0.0  # it opened, or a probe began

    @rule(seconds=st.sampled_from([0.1, 0.9, 1.0, 2.0, 4.0, 8.0, 30.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def ask(self) -> None:
        before, expected = self.circuit.state, self.circuit.left(self.now) == 0
        generation = self.circuit.admit(self.now)
        assert (generation is not None) == expected
        match before, self.circuit.state:
            case "open", "half_open":
                assert self.now >= self.since + self.circuit.wait
            case _, after:
                assert after == before
        if before == "closed" or self.now >= self.since + self.circuit.wait:
            assert generation is not None
        if generation is not None:
            self.under_way.append((generation, self.circuit.state, self.now))
            if before != "closed":
                self.since = self.now

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), outcome=st.sampled_from(["success", "failure", "broken_off", "no_result"]))
    def tell(self, data: st.DataObject, outcome: str) -> None:
        number = data.draw(st.integers(0, len(self.under_way) - 1))
        generation, then, _ = self.under_way.pop(number)
        before, stale = self.circuit.state, generation != self.circuit._generation
        if outcome == "no_result":
            self.circuit.no_result(generation)
        else:
            getattr(self.circuit, outcome)(generation, self.now)
        after = self.circuit.state
        if stale or outcome == "no_result":
            assert after == before
        if (before, after) == ("half_open", "closed"):
            assert (outcome, then) == ("success", "half_open")
        if not stale and before == "half_open" and outcome in ("failure", "broken_off"):
            assert after == "open"
        if (before, after) == ("closed", "open"):
            self.since = self.now

    @invariant()
    def probes_are_few(self) -> None:
        """Two, and another one each time as much has passed in which none of them said anything."""
        probes = [began for generation, _, began in self.under_way if generation == self.circuit._generation]
        if self.circuit.state == "half_open" and len(probes) > 2:
            assert all(later - began >= self.circuit.wait for began, later in pairwise(sorted(probes)[1:]))

    @invariant()
    def it_is_not_shut_for_ever(self) -> None:
        assert self.circuit.left(self.now) < 8.001  # a sum of floats
        assert 2.0 <= self.circuit.wait <= 8.0


TestCircuit = CircuitMachine.TestCase
TestCircuit.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"window": 0.0}, "window"),
        ({"minimum": 0}, "minimum"),
        ({"failure_share": 0.0}, "failure_share"),
        ({"failure_share": 1.1}, "failure_share"),
        ({"failure_share": float("nan")}, "failure_share"),
        ({"open_for": -1.0}, "open_for"),
        ({"open_for": 5.0, "open_at_most": 4.0}, "open_at_most"),
        ({"probes": 0}, "probes"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=rf"'{word}' is"):
        Thresholds(**options)
