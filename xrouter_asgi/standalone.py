"""The standalone app: the same parts that others mount, put together from settings.

`uvicorn --factory xrouter_asgi.standalone:create_app` serves it, as does every other ASGI server.
"""

from __future__ import annotations

from starlette.types import ASGIApp

from .providers.base import Provider
from .router import LLMRouter
from .routing import ModelTable, Target
from .settings import Settings


def create_app(settings: Settings | None = None) -> ASGIApp:
    """The app of these settings; without them of those that `Settings.load()` finds.

    Raises:
        SettingsError: For settings that cannot be used.
    """
    return build_router(settings or Settings.load())


def build_router(settings: Settings) -> LLMRouter:
    """The hinge of that app, with its providers."""
    # One provider for all models that it answers for, so that they share its connections, token and queue.
    providers = build_providers(settings)
    # The first target answers: what comes after it waits for fallback.
    models = {
        name: Target(providers[first.provider], model=first.model) for name, (first, *_) in settings.served.items()
    }
    # The hinge owns what it was given: leaving its lifespan closes the providers.
    return LLMRouter(ModelTable(models), max_body=settings.server.max_body)


def build_providers(settings: Settings) -> dict[str, Provider]:
    """A provider for each table of `[providers]`, by its name. Opens no connection."""
    return {name: table.build(name) for name, table in settings.providers.items()}
