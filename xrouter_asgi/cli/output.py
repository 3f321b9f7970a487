"""What a command says beside its result."""

from __future__ import annotations

import sys


def say(text: str) -> None:
    """Print a line on standard error."""
    print(text, file=sys.stderr, flush=True)


def fail(text: str) -> int:
    """Say why a command fails. Returns its exit code."""
    say(text)
    return 1
