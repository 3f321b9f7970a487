"""Settings from a text of TOML, and what is said about a wrong one."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from xrouter_asgi.settings import Settings, SettingsError

ECHO = 'providers.a.kind = "echo"\nmodels.bird.targets = ["a/echo"]\nmodels."cat-*".targets = ["a/*"]\n'
"""A provider and two models, for files that are about something else."""


def read(text: str, *, folder: Path = Path(), **environment: str) -> Settings:
    return Settings.parse(tomllib.loads(ECHO + text), source="x.toml", environment=environment, folder=folder)


def mistakes(text: str, **environment: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        read(text, folder=Path(), **environment)
    return [problem.removeprefix("x.toml: ") for problem in caught.value.problems]
