"""`router_settings`, and what `litellm_settings` say about the same: models with their targets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import reasons
from .deployments import Deployment
from .source import Section, first_of

_STRATEGIES: Mapping[str, str] = {
    "simple-shuffle": "by_weight",
    "least-busy": "two_choices",
    "usage-based-routing": "two_choices",
    "usage-based-routing-v2": "two_choices",
    "latency-based-routing": "two_choices",
    "cost-based-routing": "lowest_cost",
}
_FALLBACKS = ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks")
_ATTEMPTS = 3  # to one target, if the settings say nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """How LiteLLM chooses among deployments.

    Attributes:
        strategy: Here.
        retries: After the first attempt; None if the file does not say.
        fallbacks: The names that stand in for a name, by the kind of fallback. `*` is for all names.
        aliases: Other names of a name.
    """

    strategy: str
    retries: int | None
    fallbacks: Mapping[str, Mapping[str, Sequence[str]]]
    aliases: Mapping[str, str]


def read_routing(router: Section, library: Section) -> Routing:
    """Take what both tables say. The first one comes before the second, as at LiteLLM."""
    written = router.text("routing_strategy") or "simple-shuffle"
    if (strategy := _STRATEGIES.get(written)) is None:
        router.tell("routing_strategy", f"is {written!r}, which is not known here. The deployments are shuffled.")
    retries = [each for each in (router.take("num_retries"), library.take("num_retries")) if isinstance(each, int)]
    fallbacks = {kind: {**_pairs(library, kind), **_pairs(router, kind)} for kind in _FALLBACKS}
    default = router.texts("default_fallbacks") or library.texts("default_fallbacks")
    if default:
        fallbacks["fallbacks"].setdefault("*", default)
    routing = Routing(
        strategy=strategy or "by_weight", retries=first_of(retries), fallbacks=fallbacks, aliases=dict(_aliases(router))
    )
    router.close(reasons.ROUTER)
    return routing


def _pairs(table: Section, key: str) -> dict[str, list[str]]:
    """A list of tables with one name each, and the names that stand in for it."""
    found: dict[str, list[str]] = {}
    for row in table.sections(key):
        found |= {name: row.texts(name) for name in row}
    return found


def _aliases(router: Section) -> Iterator[tuple[str, str]]:
    for alias, meant in router.mapping("model_group_alias").items():
        name = meant.get("model") if isinstance(meant, Mapping) else meant
        if isinstance(meant, Mapping) and meant.get("hidden"):
            router.tell(f"model_group_alias.{alias}.hidden", "has no counterpart: every name is listed.")
        yield alias, str(name)


class ModelTables:
    """Makes the tables of models.

    Args:
        router: Where it is told what cannot be done.
    """

    def __init__(self, groups: Mapping[str, Sequence[Deployment]], routing: Routing, router: Section) -> None:
        self._groups = groups
        self._routing = routing
        self._router = router
        self._by_id = {each.id: [each] for group in groups.values() for each in group if each.id}

    def tables(self) -> dict[str, dict[str, Any]]:
        for kind, pairs in self._routing.fallbacks.items():
            for name in sorted(pairs.keys() - self._groups.keys() - {"*"}):
                self._router.tell(f"{kind}.{name}", "is for a name that is not served.")
        tables = {name: self._table(name, group) for name, group in self._groups.items()}
        for alias, name in self._routing.aliases.items():
            if name in tables:
                tables.setdefault(alias, tables[name])
            else:
                self._router.tell(f"model_group_alias.{alias}", f"names '{name}', which is not served.")
        return tables

    def _table(self, name: str, group: Sequence[Deployment]) -> dict[str, Any]:
        own = _distinct(sorted(group, key=lambda each: each.rank))
        others = [each for each in _distinct([*own, *self._others(name)]) if each not in own]
        strategy = self._strategy(own, others)
        targets = [_target(each, each.share if strategy == "by_weight" else None) for each in own]
        targets += [_target(each, 0 if strategy == "by_weight" else None) for each in others]
        table: dict[str, Any] = {"targets": targets}
        if strategy != "in_order":
            table["strategy"] = strategy
        if self._named("content_policy_fallbacks", name):
            table["content_policy"] = True
        retries = first_of([*(each.retries for each in group), self._routing.retries])
        if retries is not None and retries + 1 != _ATTEMPTS:
            table["patience"] = {"attempts": max(1, retries + 1)}
        return table

    def _strategy(self, own: Sequence[Deployment], others: Sequence[Deployment]) -> str:
        if len(own) == 1 or any(each.rank for each in own):
            return "in_order"
        wanted = self._routing.strategy
        if others and wanted != "by_weight":
            # Only weights keep the fallbacks behind all of one's own.
            self._router.tell("routing_strategy", "would rank fallbacks, too: names with fallbacks are shuffled.")
            return "by_weight"
        return wanted

    def _named(self, kind: str, name: str) -> Sequence[str]:
        pairs = self._routing.fallbacks[kind]
        return pairs.get(name) or pairs.get("*") or ()

    def _others(self, name: str) -> Iterator[Deployment]:
        """The deployments that stand in, in order."""
        for kind in _FALLBACKS:
            for other in self._named(kind, name):
                found = self._groups.get(other) or self._by_id.get(other)
                if found is None:
                    self._router.tell(f"{kind}.{name}", f"names '{other}', which is not served.")
                yield from found or ()


def _distinct(deployments: Sequence[Deployment]) -> list[Deployment]:
    """Each target once."""
    found: dict[str, Deployment] = {}
    for each in deployments:
        found.setdefault(str(each), each)
    return list(found.values())


def _target(deployment: Deployment, weight: float | None) -> Any:
    table = dict(deployment.target)
    if weight is not None and weight != 1:
        table["weight"] = weight
    return str(deployment) if len(table) == 2 else table
