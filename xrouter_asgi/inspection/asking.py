"""What upstreams say when they are asked for their models, and whether they have what the settings name."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping

from ..errors import XRouterError
from ..providers.base import ReadyProvider
from ..providers.gigachat.compatibility import SUCCESSORS
from ..providers.presets import PRESETS
from ..settings import Settings, known_instead
from ..settings.providers import OpenAISettings, ProviderSettings
from .statuses import PartStatus, printable

_SHOWN = 5  # models in a line


async def survey(providers: Mapping[str, ReadyProvider]) -> list[PartStatus]:
    """Ask all providers at once for their models, and close them."""
    return await asyncio.gather(*(_ask(name, provider) for name, provider in providers.items()))


async def _ask(name: str, provider: ReadyProvider) -> PartStatus:
    try:
        listed = await provider.models()
    except XRouterError as error:
        text = f"{error.message} ({error.detail})" if error.detail else error.message
        return PartStatus(name, False, printable(text))
    finally:
        await provider.aclose()
    models = [printable(model["id"]) for model in listed.value["data"]]
    more = f" and {len(models) - _SHOWN} more" if len(models) > _SHOWN else ""
    return PartStatus(name, True, ", ".join(models[:_SHOWN]) + more or "lists no models", models)


def unlisted_targets(settings: Settings, statuses: Iterable[PartStatus]) -> Iterator[PartStatus]:
    """The targets whose providers do not list their models. A provider that lists nothing is believed to have all."""
    listed = {status.part: status.models for status in statuses if status.models}
    for name, table in settings.models.items():
        for target in table.targets:
            provider = settings.providers[target.provider]
            known = listed.get(target.provider)
            if known is None or "*" in target.model or not _lists_targets(provider):
                continue
            model = printable(provider.upstream_name(target.model))
            if model not in known and SUCCESSORS.get(model) not in known:
                answer = f"{target.provider} lists no {model!r}. {known_instead(model, known)}"
                yield PartStatus(f"models.{name}", False, answer)


def _lists_targets(provider: ProviderSettings) -> bool:
    row = PRESETS.get(provider.kind) if isinstance(provider, OpenAISettings) else None
    return row is None or row.lists_targets
