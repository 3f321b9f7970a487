"""The tables of models: which targets a name has, in which order they are asked, and how patiently."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from ..checks import Amount, Count
from ..kept import AnswerStore
from ..limits.prices import Price, Prices
from ..policies.candidates import Candidate, Capabilities
from ..policies.stack import Patience, stack
from ..policies.strategies import STRATEGIES
from ..policies.upstream_state import UpstreamState
from ..providers.base import Provider
from ..providers.target import Target
from .base import Some, Table
from .caching import ModelCacheSettings
from .providers import ProviderSettings
from .upstreams import UpstreamSettings


def _one_star(model: str) -> str:
    if not model or model.count("*") > 1:
        raise ValueError(f"is {model!r}. Write the name of a model, with at most one '*'.")
    return model


class TargetSettings(Table):
    """`provider/model`, or a table with more. A `*` in the model stands for what the `*` in the client's name matched.

    Attributes:
        provider: The name of a table of `[providers]`.
        model: The provider's name of the model.
        weight: Its share with `by_weight`, in proportion to the other weights. 0 gets only what no other can answer.
        price: What it costs, in the currency of `[spend]`. It comes before `[[prices]]`.
        capabilities: What it can do. A request that needs more goes elsewhere.
        max_parallel: Calls at once; others go to a target that is free, or wait in line. By default any number.
    """

    provider: str
    model: Annotated[str, AfterValidator(_one_star)]
    weight: Amount = 1.0
    price: Price | None = None
    capabilities: Capabilities = Capabilities()
    max_parallel: Count | None = None

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

    def build(self, provider: Provider, table: ProviderSettings, prices: Prices) -> Candidate:
        """Make the candidate. The provider was built from `table`."""
        return Candidate(
            Target(provider, model=table.upstream_name(self.model)),
            str(self),
            weight=self.weight,
            price=prices.of(str(self)),
            capabilities=self.capabilities,
            max_parallel=self.max_parallel,
            own_key=isinstance(table, UpstreamSettings) and bool(table.own_key),
        )


def _total_of_providers(table: Any) -> Any:
    """Without `total` the most patient provider sets the deadline; without this line, the default of `Patience`."""
    return {"total": None, **table} if isinstance(table, Mapping) else table


class ModelSettings(Table):
    """`[models.NAME]`: the name clients use, and what it stands for.

    Attributes:
        targets: Each `"provider/model"`, or a table. The next one answers if one fails. A `*` in the name of the model
            and in a target is a pattern.
        strategy: Which target is asked first. `two_choices` is the better of two at random, by latency and load.
        session_affinity: Keep a conversation with the target that answered it last, whose cache of the prompt is warm.
        content_policy: Whether to ask the next target when one refuses the content of a request.
        patience: How long and how often its targets are tried. Without `total` the most patient provider sets the
            deadline.
        hedge: The largest share of requests, such as `0.03`, for which a second target is asked when the first takes
            longer than for 95 % of its answers; never with tools.
        cache: Answers what was asked before from what was answered then.
    """

    targets: Some[TargetSettings]
    strategy: Literal["in_order", "by_weight", "lowest_cost", "two_choices"] = "in_order"
    session_affinity: bool = False
    content_policy: bool = False
    patience: Annotated[Patience, BeforeValidator(_total_of_providers)] = Patience(total=None)
    hedge: Annotated[float, Field(gt=0, le=1)] | None = None
    cache: ModelCacheSettings | None = None

    def build(
        self,
        providers: Mapping[str, Provider],
        tables: Mapping[str, ProviderSettings],
        accounts: dict[str, UpstreamState],
        answers: AnswerStore,
        prices: Prices,
    ) -> Provider:
        """Make one provider of all targets, from the providers that they name and the tables of these.

        All models share `accounts`, the state of each provider, to which is added what is missing there, and `answers`,
        in which those with a `cache` keep theirs.
        """
        return stack(
            [each.build(providers[each.provider], tables[each.provider], prices) for each in self.targets],
            strategy=STRATEGIES[self.strategy],
            session_affinity=self.session_affinity,
            content_policy=self.content_policy,
            patience=replace(self.patience, total=self._total(tables)),
            hedge=self.hedge,
            cache=None if self.cache is None else self.cache.around(answers),
            upstreams=accounts,
        )

    def _total(self, tables: Mapping[str, ProviderSettings]) -> float | None:
        """Its own bound, else that of the most patient of its providers; None for none."""
        named = [tables[each.provider] for each in self.targets]
        totals = [table.timeouts.total or math.inf for table in named if isinstance(table, UpstreamSettings)]
        total = self.patience.total or max(totals, default=math.inf)
        return None if math.isinf(total) else total
