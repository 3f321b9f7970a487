"""What happened of late, in the memory of this process.

These are the last requests with their decisions, the sums of each minute of a day, and what is wrong at present.
Nothing is kept of prompts, answers, headers or addresses. No text is longer than 128 characters, so the memory has a
bound, whatever clients and upstreams send: 20 MiB.
"""

from .live import Happenings, Live, Seen
from .minutes import BOUNDS, MINUTES, Minute, quantile
from .problems import Problem, ProblemKind
from .requests import KEPT, RecentAttempt, RecentRequest

__all__ = [
    "BOUNDS",
    "KEPT",
    "MINUTES",
    "Happenings",
    "Live",
    "Minute",
    "Problem",
    "ProblemKind",
    "RecentAttempt",
    "RecentRequest",
    "Seen",
    "quantile",
]
