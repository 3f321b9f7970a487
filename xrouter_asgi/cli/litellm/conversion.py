"""A configuration of LiteLLM's proxy as settings of ours, and what it says that they cannot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from . import reasons
from .deployments import Defaults, Deployments
from .routing import ModelTables, read_routing
from .source import Section, Untaken, Variables, first_of
from .tables import OtherTables, read_cache, read_redis


class Conversion(NamedTuple):
    """What became of a configuration.

    Attributes:
        tables: The settings.
        untaken: A line for each thing that could not be taken over.
        variables: The environment variables that the settings refer to.
    """

    tables: Mapping[str, Any]
    untaken: Sequence[str]
    variables: Sequence[str]


def convert(document: Any, environment: Mapping[str, str]) -> Conversion:
    """Convert what a YAML file holds. `environment` has the addresses that the file says by `os.environ/NAME`."""
    untaken, variables = Untaken(), Variables(environment)
    file = Section("", document, untaken)
    rows = file.sections("model_list")
    router, library = file.section("router_settings"), file.section("litellm_settings")
    general = file.section("general_settings")
    defaults = Defaults(
        timeout=first_of([router.number("timeout"), library.number("request_timeout")]),
        max_parallel=first_of([router.whole("default_max_parallel_requests"), general.whole("max_parallel_requests")]),
        ssl_verify=library.take("ssl_verify"),
    )
    deployments = Deployments(untaken, variables, defaults, _credentials(file))
    for row in rows:
        deployments.read(row)
    redis = None
    if any(key in router for key in ("redis_host", "redis_url")):
        redis = read_redis(router, variables, "redis_", "LIMITS_REDIS_URL")
    store, cache = read_cache(library, variables)
    models = ModelTables(deployments.groups, read_routing(router, library), router).tables()
    if cache is not None:
        models = {name: {**table, "cache": cache} for name, table in models.items()}
    tables: dict[str, Any] = {"providers": deployments.providers, "models": models}
    tables |= OtherTables(deployments.groups, deployments.prices, variables).tables(general, library, redis)
    if deployments.prices:
        tables["prices"] = [{"target": target, **price} for target, price in deployments.prices.items()]
    if store is not None:
        tables["cache"] = store
    file.close(reasons.FILE)
    return Conversion(tables, untaken.lines(), tuple(variables.needed))


def _credentials(file: Section) -> dict[str | None, Mapping[str, Any]]:
    """The values of `credential_list`, by their names."""
    found: dict[str | None, Mapping[str, Any]] = {}
    for row in file.sections("credential_list"):
        name, values = row.text("credential_name"), row.mapping("credential_values")
        if name is not None:
            found[name] = values
    return found
