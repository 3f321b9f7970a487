"""Policies: each wraps a provider, is one itself, and has one concern: how long, how many, whether, how often."""

from .backoff import Backoff
from .breaker import CircuitBreaker, CircuitGroup
from .cache import Cache
from .candidates import Candidate, CandidateStats, Capabilities, Requirements
from .circuit import CircuitState, Thresholds
from .concurrency import Concurrency
from .fallback import Fallback, Plan
from .guard import Check, Guard, Passage
from .hedge import Hedge, HedgeBudget
from .prebuffer import Prebuffer
from .retry import Retry
from .retry_budget import RetryBudget
from .stack import Patience, resilient, stack
from .strategies import Ranked, Strategy, by_weight, in_order, lowest_cost, two_choices
from .timeout import Deadline, Timeout
from .upstream_state import Cooldown, UpstreamState

__all__ = [
    "Backoff",
    "Cache",
    "Candidate",
    "CandidateStats",
    "Capabilities",
    "Check",
    "CircuitBreaker",
    "CircuitGroup",
    "CircuitState",
    "Concurrency",
    "Cooldown",
    "Deadline",
    "Fallback",
    "Guard",
    "Hedge",
    "HedgeBudget",
    "Passage",
    "Patience",
    "Plan",
    "Prebuffer",
    "Ranked",
    "Requirements",
    "Retry",
    "RetryBudget",
    "Strategy",
    "Thresholds",
    "Timeout",
    "UpstreamState",
    "by_weight",
    "in_order",
    "lowest_cost",
    "resilient",
    "stack",
    "two_choices",
]
