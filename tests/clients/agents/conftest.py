"""Agents take their time, so they run only where this folder is named, as the tox environment `agents` does."""

import pytest


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    return None if any("clients/agents" in argument for argument in config.args) else True
