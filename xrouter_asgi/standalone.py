"""The standalone app: the same parts that others mount, put together from settings.

`uvicorn --factory xrouter_asgi.standalone:create_app` serves it, as does every other ASGI server.
"""

from __future__ import annotations

from typing import assert_never

from starlette.types import ASGIApp

from .providers.base import Provider
from .providers.echo import EchoProvider
from .providers.gigachat import GigaChatProvider
from .providers.openai import OpenAIProvider
from .router import LLMRouter
from .routing import ModelTable, Target
from .settings import EchoSettings, GigaChatSettings, OpenAISettings, ProviderSettings, Settings, reveal


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
        name: Target(providers[targets[0].provider], model=targets[0].model)
        for name, targets in settings.served.items()
    }
    # The hinge owns what it was given: leaving its lifespan closes the providers.
    return LLMRouter(ModelTable(models), max_body=settings.server.max_body)


def build_providers(settings: Settings) -> dict[str, Provider]:
    """A provider for each table of `[providers]`, by its name. Opens nothing."""
    return {name: _provider(name, table) for name, table in settings.providers.items()}


def _provider(name: str, settings: ProviderSettings) -> Provider:
    match settings:
        case GigaChatSettings():
            return _gigachat(name, settings)
        case OpenAISettings():
            return _openai(name, settings)
        case EchoSettings():
            return EchoProvider(name=name, models=settings.models, delay=settings.delay)
        case _:
            assert_never(settings)


def _gigachat(name: str, settings: GigaChatSettings) -> GigaChatProvider:
    return GigaChatProvider(
        name=name,
        credentials=reveal(settings.credentials),
        scope=settings.scope,
        user=reveal(settings.user),
        password=reveal(settings.password),
        access_token=reveal(settings.access_token),
        base_url=settings.base_url,
        auth_url=settings.auth_url,
        ca_bundle=settings.ca_bundle,
        **settings.certificate,
        insecure=settings.insecure,
        proxy=reveal(settings.proxy),
        timeouts=settings.timeouts.build(),
        max_parallel=settings.max_parallel,
        queue_timeout=settings.queue_timeout,
        client_id=settings.client_id,
        options=settings.options(),
    )


def _openai(name: str, settings: OpenAISettings) -> OpenAIProvider:
    return OpenAIProvider(
        settings.base_url,
        name=name,
        api_key=reveal(settings.api_key),
        headers={key: value.get_secret_value() for key, value in settings.headers.items()},
        timeouts=settings.timeouts.build(),
        ca_bundle=settings.ca_bundle,
        **settings.certificate,
        insecure=settings.insecure,
        proxy=reveal(settings.proxy),
        http2=settings.http2,
    )
