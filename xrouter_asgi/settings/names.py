"""Names in the settings that lead nowhere: of providers, of models, and of the targets between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..context import matches
from .errors import Location, known_instead


def dangling(document: Mapping[str, Any]) -> Iterator[tuple[Location, str]]:
    """Find names that lead nowhere, in the raw document, so that a mistake elsewhere does not hide them."""
    providers, models = document.get("providers"), document.get("models")
    if not isinstance(providers, dict) or not providers:
        yield ("providers",), 'is empty. Write for example providers.gigachat.kind = "gigachat".'
        return
    for name in providers:
        if not name or "/" in name:
            yield ("providers", name), "has a name that is empty or holds a '/'. Write one without."
    if not isinstance(models, dict):
        models = {}
    if not models and len(providers) > 1:
        target = f"{next(iter(providers))}/MODEL"
        sentence = f"is missing, and with {len(providers)} providers nothing says which model goes where."
        yield ("models",), f'{sentence} Write for example models.assistant.targets = ["{target}"].'
    for name, table in models.items():
        yield from _check_model(name, table, providers)
    limits = document.get("rate_limit")
    limited = limits.get("models") if isinstance(limits, dict) else None
    for name in limited if isinstance(limited, dict) and models else ():
        # A pattern may match names that only another pattern serves.
        if "*" not in name and not any(matches(model, name) for model in models):
            yield ("rate_limit", "models", name), f"is the name of no model. {known_instead(name, models)}"


def _check_model(name: str, table: Any, providers: Mapping[str, Any]) -> Iterator[tuple[Location, str]]:
    if not name or name.count("*") > 1:
        yield ("models", name), "has a name that is empty or holds more than one '*'. Write one with at most one."
    targets = table.get("targets") if isinstance(table, dict) else None
    for index, target in enumerate(targets if isinstance(targets, list) else ()):
        provider, model = _provider_and_model(target)
        path = ("models", name, "targets", index)
        if provider and model and provider not in providers:
            yield path, f"names provider '{provider}'. {known_instead(provider, providers)}"
        if "*" in model and "*" not in name:
            yield path, f"holds a '*', but the name '{name}' has none that it could stand for. Write the model's name."


def _provider_and_model(target: Any) -> tuple[str, str]:
    """The provider and the model of a target in either form; empty texts for anything else."""
    match target:
        case str():
            provider, _, model = target.partition("/")
            return provider, model
        case {"provider": str(provider), "model": str(model)}:
            return provider, model
    return "", ""
