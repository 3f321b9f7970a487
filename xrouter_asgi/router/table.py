"""Which model: a table from the names that clients use to providers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..context import stem
from ..errors import UpstreamTimeout, XRouterError
from ..providers.base import Provider
from ..providers.target import Attempting, as_target

# Seconds for the models of one provider. Clients ask at their start, and a silent one must not hold up the others.
PATIENCE = 10.0

_AT_ONCE = 8  # patterns that are listed in one turn of the loop

logger = logging.getLogger("xrouter")


class ModelTable(Mapping[str, Attempting]):
    """Names, and patterns with one `*`, to providers. A name beats a pattern, a longer pattern a shorter one."""

    def __init__(self, models: Mapping[str, Provider]) -> None:
        for name in models:
            if not name or name.count("*") > 1:
                raise ValueError(f"The model name {name!r} must not be empty nor hold more than one '*'.")
        targets = {id(provider): as_target(provider) for provider in models.values()}  # one that has two names is one
        self._models = {name: targets[id(provider)] for name, provider in models.items()}
        self._patterns = sorted((name for name in models if "*" in name), key=len, reverse=True)

    def __getitem__(self, name: str) -> Attempting:
        return self._models[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._models)

    def __len__(self) -> int:
        return len(self._models)

    def find(self, name: str) -> tuple[Attempting, str] | None:
        """The provider for a name and what `*` stands for in it; None when no one serves it."""
        found = self._entry(name)
        return None if found is None else found[1:]

    def entry(self, name: str) -> str | None:
        """Under which name or pattern of this table a model is served: one of few, whatever clients ask for."""
        found = self._entry(name)
        return None if found is None else found[0]

    async def list(self) -> list[dict[str, Any]]:
        """Every model that can be called by name, as OpenAI's model objects, sorted as configured.

        A pattern stands for the models its provider lists; one that does not answer adds none, and a line to the log.

        Raises:
            XRouterError: Nobody answered, so there is nothing to list.
        """
        found: dict[str, dict[str, Any]] = {}
        for name, provider in self._models.items():
            if "*" not in name:
                found[name] = _described(name, provider)
        failures = []
        for index, models in enumerate(await self._expanded()):
            if index % _AT_ONCE == 0:
                await asyncio.sleep(0)
            if isinstance(models, XRouterError):
                failures.append(models)
                continue
            for model in models:
                found.setdefault(model["id"], model)
        if failures and not found:
            raise failures[0]
        return list(found.values())

    async def _expanded(self) -> Sequence[Sequence[dict[str, Any]] | XRouterError]:
        """What each pattern stands for. All are asked at once, but between some of them everybody else has a turn."""
        asked = []
        async with asyncio.TaskGroup() as group:
            for index, name in enumerate(name for name in self._models if "*" in name):
                if index % _AT_ONCE == 0:
                    await asyncio.sleep(0)
                asked.append(group.create_task(_expand_or_error(name, self._models[name])))
        return [task.result() for task in asked]

    async def describe(self, name: str) -> dict[str, Any] | None:
        """The model object of one name, None when nobody serves it. Only a pattern's model asks upstream.

        Raises:
            XRouterError: The provider behind the pattern cannot tell.
        """
        found = self._entry(name)
        if found is None:
            return None
        written, provider, _ = found
        if "*" not in written:
            return _described(name, provider)
        return next((model for model in await _expand(written, provider) if model["id"] == name), None)

    def _entry(self, name: str) -> tuple[str, Attempting, str] | None:
        """The name or pattern that `name` falls under, its provider, and what `*` stands for."""
        provider = self._models.get(name)
        if provider is not None and "*" not in name:
            return name, provider, ""
        for pattern in self._patterns:
            if found := stem(pattern, name):  # nothing is no name to ask an upstream for
                return pattern, self._models[pattern], found
        return None


def _described(name: str, provider: Attempting) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": provider.name, **_window(provider)}


def _window(provider: Attempting) -> dict[str, Any]:
    """How much a model holds, under the name that clients know from vLLM."""
    return {} if provider.context_window is None else {"max_model_len": provider.context_window}


async def _expand_or_error(pattern: str, provider: Attempting) -> list[dict[str, Any]] | XRouterError:
    try:
        return await _expand(pattern, provider)
    except XRouterError as error:
        logger.warning("The models of '%s' could not be listed: %s", provider.name, error.detail or error.message)
        return error


async def _expand(pattern: str, provider: Attempting) -> list[dict[str, Any]]:
    deadline = asyncio.get_running_loop().time() + PATIENCE
    try:
        async with asyncio.timeout_at(deadline):
            listed = await provider.models(pattern, deadline=deadline)
    except TimeoutError as error:
        raise UpstreamTimeout("The upstream did not list its models in time.", code="first_byte_timeout") from error
    return [{"created": 0, **_window(provider), **model} for model in listed.value["data"]]
