"""The tables of models: where a name leads, in which order, and how patiently."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from ..policies.candidates import Candidate, Capabilities, Price
from ..policies.stack import Patience, stack
from ..policies.strategies import STRATEGIES
from ..policies.upstream_state import UpstreamState
from ..providers.base import Provider
from ..providers.target import Target
from .base import Count, Seconds, Some, Table
from .providers import ProviderSettings, UpstreamSettings

_PATIENCE = Patience()
_CAPABILITIES = Capabilities()
_Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def _one_star(model: str) -> str:
    if not model or model.count("*") > 1:
        raise ValueError(f"is {model!r}. Write the name of a model, with at most one '*'.")
    return model


class PriceSettings(Table):
    """See `policies.candidates.Price`."""

    input: _Amount
    output: _Amount


class CapabilitiesSettings(Table):
    """See `policies.candidates.Capabilities`."""

    tools: bool = _CAPABILITIES.tools
    vision: bool = _CAPABILITIES.vision
    json_schema: bool = _CAPABILITIES.json_schema
    context: Count | None = _CAPABILITIES.context


class TargetSettings(Table):
    """`provider/model`, or a table with more. A `*` in the model stands for what the `*` in the client's name matched.

    Attributes:
        weight, price, capabilities, parallel: See `policies.candidates.Candidate`.
    """

    provider: str
    model: Annotated[str, AfterValidator(_one_star)]
    weight: _Amount = 1.0
    price: PriceSettings | None = None
    capabilities: CapabilitiesSettings = CapabilitiesSettings()
    parallel: Count | None = None

    @model_validator(mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            return value
        provider, _, model = value.partition("/") if isinstance(value, str) else ("", "", "")
        if not provider or not model or model.count("*") > 1:
            raise ValueError(f'is {value!r}. Write "PROVIDER/MODEL", with at most one "*" in the model.')
        return {"provider": provider, "model": model}

    def __str__(self) -> str:
        return f"{self.provider}/{self.model}"

    def build(self, provider: Provider, table: ProviderSettings) -> Candidate:
        """The candidate at that provider, which has this table."""
        return Candidate(
            Target(provider, model=self.model),
            str(self),
            weight=self.weight,
            price=Price(**self.price.model_dump()) if self.price else None,
            capabilities=Capabilities(**self.capabilities.model_dump()),
            parallel=self.parallel,
            own_key=isinstance(table, UpstreamSettings) and bool(table.own_key),
        )


class PatienceSettings(Table):
    """Seconds; what is not set is left to the providers' own clocks. `total` includes other targets and all waits."""

    first: Seconds | None = None
    idle: Seconds | None = None
    total: Annotated[float, Field(gt=0)] | None = None


class RetrySettings(Table):
    """See `policies.retry.Retry`."""

    attempts: Count = _PATIENCE.attempts
    billed: bool = _PATIENCE.retry_billed


class HoldSettings(Table):
    """See `policies.hold.Prebuffer`."""

    seconds: Seconds | None = None
    tokens: Count | None = None

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if self.seconds is None and self.tokens is None:
            raise ValueError("is empty. Write seconds, tokens or both, such as { seconds = 0.5, tokens = 20 }.")
        return self


class ModelSettings(Table):
    """`[models.NAME]`: the name clients use, and what it stands for.

    Attributes:
        strategy: In which order targets are asked; see `policies.strategies`.
        sticky, content_policy: See `policies.fallback.Fallback`.
        hold: How long the beginning of a stream is kept back, so that a failure in it can be made good.
        hedge: The share of requests for which a second target may be asked when the first one is late.
    """

    targets: Some[TargetSettings]
    strategy: Literal["in_order", "by_weight", "lowest_cost", "two_choices"] = "in_order"
    sticky: bool = False
    content_policy: bool = False
    timeouts: PatienceSettings = PatienceSettings()
    retry: RetrySettings = RetrySettings()
    hold: HoldSettings | None = None
    hedge: Annotated[float, Field(gt=0, le=1)] | None = None

    def build(
        self,
        providers: Mapping[str, Provider],
        tables: Mapping[str, ProviderSettings],
        accounts: dict[str, UpstreamState],
    ) -> Provider:
        """All targets as one provider.

        Args:
            providers, tables: What the names of targets stand for.
            accounts: Those at the providers, which models share.
        """
        return stack(
            [each.build(providers[each.provider], tables[each.provider]) for each in self.targets],
            strategy=STRATEGIES[self.strategy],
            session_affinity=self.sticky,
            content_policy=self.content_policy,
            patience=Patience(
                attempts=self.retry.attempts,
                retry_billed=self.retry.billed,
                first=self.timeouts.first,
                idle=self.timeouts.idle,
                prebuffer=self.hold.seconds if self.hold else None,
                prebuffer_tokens=self.hold.tokens if self.hold else None,
                total=self._total(tables),
            ),
            hedge=self.hedge,
            upstreams=accounts,
        )

    def _total(self, tables: Mapping[str, ProviderSettings]) -> float | None:
        """Its own bound, else that of the most patient of its providers; None for none."""
        clocks = [
            table.timeouts for each in self.targets if isinstance(table := tables[each.provider], UpstreamSettings)
        ]
        total = self.timeouts.total or max((clock.total for clock in clocks), default=math.inf)
        return None if math.isinf(total) else total
