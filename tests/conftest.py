"""What holds for all tests but those of the examples, which run without Hypothesis."""

from __future__ import annotations

from hypothesis import settings

from tests.databases import postgres, postgres_url

__all__ = ["postgres", "postgres_url"]

# An example may take as long as a busy machine makes it: no test is about that.
settings.register_profile("patient", deadline=None)
settings.register_profile("thorough", deadline=None, max_examples=10_000)
settings.load_profile("patient")
