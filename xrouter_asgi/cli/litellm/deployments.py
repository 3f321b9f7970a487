"""`model_list`: the deployments, as tables of providers and as targets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from . import reasons
from .source import Section, Untaken, Variables, first_of
from .upstreams import GENERIC, OPENAI_URL, NamedModel, UpstreamKind, address, named_model

_MODES = ("chat", "completion", "embedding", "responses")
_PRICES = {
    "input": "input_cost_per_token",
    "output": "output_cost_per_token",
    "cached": "cache_read_input_token_cost",
    "cache_write": "cache_creation_input_token_cost",
    "cache_write_1h": "cache_creation_input_token_cost_above_1hr",
}
_KEYLESS = ("none", "empty", "dummy", "null")  # what people write because a key has to be there
_LONGEST = 600.0  # seconds that an exchange may last if the settings say nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What holds for each deployment that says nothing else."""

    timeout: float | None = None
    max_parallel: int | None = None
    ssl_verify: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One entry of `model_list`.

    Attributes:
        target: Its provider and model, with what else is known about it.
        rank: What comes first (`order`).
        weight, rpm, tpm: As they are written.
        retries: `num_retries`, or `max_retries`.
        id: By which fallbacks may name it.
    """

    target: Mapping[str, Any]
    rank: float = 0.0
    weight: float | None = None
    rpm: int | None = None
    tpm: int | None = None
    retries: int | None = None
    id: str | None = None

    @property
    def share(self) -> float:
        """How often LiteLLM's shuffle takes it, compared to the others."""
        return self.weight or self.rpm or self.tpm or 1

    def __str__(self) -> str:
        return "{provider}/{model}".format(**self.target)


@dataclass(slots=True)
class Deployments:
    """Reads them one by one.

    Attributes:
        providers: The tables of providers, by their names here.
        groups: The deployments of each name that clients use.
        prices: The tables of prices, by the targets that they are for.
    """

    untaken: Untaken
    variables: Variables
    defaults: Defaults
    credentials: Mapping[str | None, Mapping[str, Any]]
    providers: dict[str, dict[str, Any]] = field(default_factory=dict)
    groups: dict[str, list[Deployment]] = field(default_factory=dict)
    prices: dict[str, dict[str, str]] = field(default_factory=dict)

    def read(self, row: Section) -> None:
        """Take over one entry, or tell why not."""
        name, info = row.text("model_name"), row.section("model_info")
        params = row.section("litellm_params")
        if (credential := params.text("litellm_credential_name")) in self.credentials:
            params.fill_in(self.credentials[credential])
        elif credential is not None:
            params.tell("litellm_credential_name", f"names '{credential}', which 'credential_list' does not have.")
        written = params.text("model")
        if not name or not written:
            self.untaken.add(row.where, "has no 'model_name', or no 'litellm_params.model', and is left out.")
            return
        known = named_model(written, params.text("custom_llm_provider"), has_address="api_base" in params)
        upstream, reason = known.upstream, _unserved(name, known, info.text("mode"))
        if upstream is None or reason is not None:
            self.untaken.add(f"{row.where} ({name})", f"is left out: {reason}")
            return
        self.groups.setdefault(name, []).append(self._deployment(known, upstream, params, info))
        params.close(reasons.PARAMS)
        info.close(reasons.INFO)
        row.close({})

    def _deployment(self, known: NamedModel, upstream: UpstreamKind, params: Section, info: Section) -> Deployment:
        retries = params.take("num_retries"), params.take("max_retries")
        target: dict[str, Any] = {"provider": self._provider(known, upstream, params), "model": known.model}
        parallel = params.whole("max_parallel_requests") or self.defaults.max_parallel
        more = {"capabilities": _capabilities(info), "max_parallel": parallel}
        deployment = Deployment(
            target=target | {key: value for key, value in more.items() if value},
            rank=params.number("order") or 0.0,
            weight=params.number("weight"),
            rpm=params.whole("rpm"),
            tpm=params.whole("tpm"),
            retries=first_of(each for each in retries if isinstance(each, int)),
            id=info.text("id"),
        )
        self._take_price(str(deployment), params, info)
        return deployment

    def _provider(self, known: NamedModel, upstream: UpstreamKind, params: Section) -> str:
        """The name of the table for this deployment. Those that agree in everything share one."""
        table: dict[str, Any] = {"kind": upstream.kind} | self._place(upstream, params)
        table |= self._credential(known, upstream, params)
        timeout = first_of((params.number("timeout"), params.number("request_timeout"), self.defaults.timeout))
        if timeout is not None:
            table["timeouts"] = {"first": timeout} | ({"total": timeout} if timeout > _LONGEST else {})
        table |= _trust(first_of((params.take("ssl_verify"), self.defaults.ssl_verify)))
        base = name = _name(known, upstream, table.get("base_url"))
        number = 1
        while self.providers.setdefault(name, table) != table:
            number += 1
            name = f"{base}-{number}"
        return name

    def _place(self, upstream: UpstreamKind, params: Section) -> dict[str, Any]:
        """Where it is."""
        key = "api_base" if "api_base" in params else "base_url"
        written = self.variables.address(params, key)
        if written is not None:
            return {"base_url": address(upstream, written)}
        if upstream.kind == "azure":
            params.tell("api_base", "is missing. Write the address of the resource where the settings say RESOURCE.")
            return {"base_url": "https://RESOURCE.openai.azure.com/openai/v1"}
        return {} if upstream.base_url is None else {"base_url": upstream.base_url}

    def _credential(self, known: NamedModel, upstream: UpstreamKind, params: Section) -> dict[str, Any]:
        """As whom the gateway comes there."""
        found: dict[str, Any] = {}
        own = upstream.kind == "gigachat"
        variable = upstream.key or f"{_variable(known.provider)}_API_KEY"
        key = params.text("api_key")
        if key is not None and key.lower() not in _KEYLESS:
            found["credentials" if own else "api_key"] = self.variables.secret(params, "api_key", key, variable)
        elif upstream.key is not None and key is None:
            found["credentials" if own else "api_key"] = self.variables.expect(upstream.key)
        if own and (scope := params.text("scope")) is not None:
            found["scope"] = scope
        headers = {**params.mapping("headers"), **params.mapping("extra_headers")}
        if (organization := params.text("organization")) is not None:
            headers["OpenAI-Organization"] = organization
        if headers and own:
            params.tell("headers", "have no counterpart for GigaChat.")
        elif headers:
            found["headers"] = {
                name: self.variables.header(params, name, value, f"{_variable(known.provider)}_{_variable(name)}")
                for name, value in headers.items()
            }
        return found

    def _take_price(self, target: str, params: Section, info: Section) -> None:
        """What a million tokens costs. A target has one price, whoever asks for it."""
        found = {name: first_of((params.take(key), info.take(key))) for name, key in _PRICES.items()}
        try:
            price = {name: _per_million(value) for name, value in found.items() if value is not None}
        except InvalidOperation:
            params.tell("input_cost_per_token", "or another price is no number.")
            return
        if price and not {"input", "output"} <= price.keys():
            params.tell("input_cost_per_token", "is one of two prices. Write both: [[prices]].")
        elif price and self.prices.setdefault(target, price) != price:
            params.tell("input_cost_per_token", "differs from the price of the same target elsewhere, which is kept.")


def _name(known: NamedModel, upstream: UpstreamKind, base_url: str | None) -> str:
    """What to call a provider: as LiteLLM does, unless it means any upstream that speaks OpenAI's API."""
    if upstream.kind != "openai":
        return upstream.kind
    if base_url == OPENAI_URL:
        return "openai"
    return "compatible" if known.provider in GENERIC else known.provider


def _unserved(name: str, known: NamedModel, mode: str | None) -> str | None:
    """Why a deployment cannot be served, as a sentence."""
    if known.reason:
        return f"'{known.model}' {known.reason}"
    if mode not in (None, *_MODES):
        return f"the mode '{mode}' is not served here."
    if name.count("*") > 1 or known.model.count("*") > 1:
        return "a name has one '*' at most."
    if "*" in known.model and "*" not in name:
        return f"'{known.model}' has a '*', and the name '{name}' has none that it could stand for."
    return None


def _capabilities(info: Section) -> dict[str, Any]:
    """What the model cannot do, and how much it reads."""
    said = {
        "tools": info.flag("supports_function_calling"),
        "vision": info.flag("supports_vision"),
        "json_schema": info.flag("supports_response_schema"),
    }
    context = first_of((info.whole("max_input_tokens"), info.whole("max_tokens")))
    return {name: False for name, can in said.items() if can is False} | ({"context": context} if context else {})


def _trust(ssl_verify: Any) -> dict[str, Any]:
    """Whose certificates are trusted."""
    if isinstance(ssl_verify, str) and ssl_verify.lower() not in ("true", "false"):
        return {"ca_bundle": ssl_verify}
    return {"insecure": True} if str(ssl_verify).lower() == "false" else {}


def _per_million(price: Any) -> str:
    return f"{(Decimal(str(price)) * 1_000_000).normalize():f}"


def _variable(name: str) -> str:
    return "".join(letter if letter.isalnum() and letter.isascii() else "_" for letter in name.upper()) or "UPSTREAM"
