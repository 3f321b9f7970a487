"""What upstreams send that has to be mended or told, what clients have to understand of it, and pictures of clients."""

from . import bodies, calls, chunks, usage
from .failures import FAILURES, Failure
from .kinds import KINDS, REFUSED, SCHEMA, STRUCTURED
from .pictures import NO_PICTURES, PICTURES, PNG

CASES = [*calls.CASES, *chunks.CASES, *usage.CASES, *bodies.CASES]
names = [case.name for case in (*CASES, *KINDS, REFUSED, STRUCTURED)] + [failure.name for failure in FAILURES]
assert len({*names}) == len(names), "A name is the model that is asked for, so no two may be the same."

__all__ = [
    "CASES",
    "FAILURES",
    "KINDS",
    "NO_PICTURES",
    "PICTURES",
    "PNG",
    "REFUSED",
    "SCHEMA",
    "STRUCTURED",
    "Failure",
]
