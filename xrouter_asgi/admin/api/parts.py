"""The parts of the API together: what they are asked over HTTP, and by the pages."""

from __future__ import annotations

from dataclasses import dataclass

from .events import EventsAPI
from .keys import KeysAPI
from .operation import AdminOperation
from .overview import OverviewAPI
from .requests import RequestsAPI
from .settings import SettingsAPI
from .spend import SpendAPI
from .upstreams import UpstreamsAPI


@dataclass(frozen=True, slots=True)
class AdminParts:
    """What the operator's app is made of. Each operation of the API is a method that a page may call, too.

    Attributes:
        currency: Of prices.
        keys, spend: None leaves these out.
    """

    currency: str
    overview: OverviewAPI
    requests: RequestsAPI
    upstreams: UpstreamsAPI
    keys: KeysAPI | None
    spend: SpendAPI | None
    settings: SettingsAPI
    events: EventsAPI

    def operations(self) -> list[AdminOperation]:
        parts = (self.overview, self.requests, self.upstreams, self.keys, self.spend, self.settings, self.events)
        return [each for part in parts if part is not None for each in part.operations()]
