"""`xrouter import litellm`: what a configuration becomes, what is told of the rest, and that all of it can be used."""

from __future__ import annotations

import builtins
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from xrouter_asgi.cli.litellm.conversion import Conversion, convert
from xrouter_asgi.cli.litellm.toml import toml_text
from xrouter_asgi.cli.main import main
from xrouter_asgi.settings import Settings, SettingsError

HERE = Path(__file__).parent
PAGE = HERE.parents[2] / "docs/litellm.md"
SECRETS = ("very-secret", "sk-1234")


def converted(text: str, **environment: str) -> Conversion:
    return convert(yaml.safe_load(text), environment)


def usable(found: Conversion, **more: str) -> Settings:
    """The settings that their text is, with something in each variable that they need."""
    values = {"GIGACHAT_CREDENTIALS": "YTpi", "XROUTER_KEYS_URL": "sqlite:///keys.db", "XROUTER_KEYS_PEPPER": "p" * 32}
    values |= dict.fromkeys(("CACHE_REDIS_URL", "LIMITS_REDIS_URL"), "redis://127.0.0.1")
    values |= {"SLACK_WEBHOOK_URL": "https://hooks.slack.test/x", **more}
    environment = {name: values.get(name, "the-secret") for name in found.variables}
    return Settings.parse(tomllib.loads(toml_text(found.tables)), environment=environment)


def with_model(more: str, params: str = "") -> Conversion:
    """A deployment of OpenAI's, with more in `litellm_params`, and other tables."""
    return converted(
        f"model_list:\n- model_name: m\n  litellm_params: {{model: gpt-4o, api_key: os.environ/K{params}}}\n{more}"
    )


def told(found: Conversion) -> str:
    return "\n".join(found.untaken)


# A whole configuration.


def test_a_team_s_configuration_becomes_settings_that_can_be_used() -> None:
    found = converted((HERE / "team.yaml").read_text(), AZURE_API_BASE_CA="https://ca.openai.azure.com")
    served = usable(found)
    assert {name: [str(each) for each in model.targets] for name, model in served.models.items()} == {
        "gpt-4o": ["azure/gpt-4o-eu", "azure-2/gpt-4o-ca", "anthropic/claude-sonnet-4-5"],
        "claude": ["anthropic/claude-sonnet-4-5"],
        "opt": ["compatible/facebook/opt-125m", "anthropic/claude-sonnet-4-5"],
        "gpt-4": ["azure/gpt-4o-eu", "azure-2/gpt-4o-ca", "anthropic/claude-sonnet-4-5"],
    }
    assert found.tables["providers"]["azure-2"]["base_url"] == "https://ca.openai.azure.com/openai/v1"
    model = served.models["gpt-4o"]
    assert [each.weight for each in model.targets] == [6, 18, 0]
    assert (model.strategy, model.patience.attempts) == ("by_weight", 2)
    assert served.price_list().of("anthropic/claude-sonnet-4-5") is not None
    assert served.rate_limit is not None
    assert (served.rate_limit.limit, served.rate_limit.models) == (
        ("200 parallel per all",), {"gpt-4o": ("24/minute per all",)}
    )  # fmt: skip
    assert (served.server.port, served.server.host, served.server.max_body) == (4000, "0.0.0.0", 8 << 20)
    assert (served.keys is None, served.metrics is None, served.tracing is None, served.alerts is None) == (False,) * 4


def test_the_command_prints_settings_and_tells_the_rest_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["import", "litellm", str(HERE / "team.yaml")]) == 0
    said = capsys.readouterr()
    assert [secret for secret in SECRETS if secret in said.out + said.err] == []
    for line in (
        "model_list[4] (bedrock-claude): is left out: 'anthropic.claude-instant-v1' needs requests that are signed",
        "model_list[2].litellm_params.temperature: has no counterpart: clients send it themselves",
        "general_settings.master_key: has no counterpart: no key opens everything.",
        "litellm_settings.max_budget: needs the price of each target.",
        "litellm_settings.success_callback 'langfuse': takes traces by OpenTelemetry.",
    ):
        assert f"#   {line}" in said.out
        assert f"\n{line}" in f"\n{said.err}"
    assert "4 models at 4 providers. Next:\n\n  export AZURE_API_KEY_EU=…\n" in said.err
    file = tmp_path / "xrouter.toml"
    file.write_text(said.out)
    for name in ("AZURE_API_KEY_EU", "AZURE_API_KEY_CA", "ANTHROPIC_API_KEY"):
        monkeypatch.setenv(name, "the-secret")
    monkeypatch.setenv("XROUTER_KEYS_URL", "sqlite:///keys.db")
    monkeypatch.setenv("XROUTER_KEYS_PEPPER", "p" * 32)
    monkeypatch.setenv("LIMITS_REDIS_URL", "redis://127.0.0.1")
    monkeypatch.setenv("SLACK_WEBHOOK_URL", "https://hooks.slack.test/x")
    assert main(["check", "--config", str(file)]) == 0


@pytest.mark.skipif(not PAGE.exists(), reason="there is no source tree here")
def test_the_example_of_the_page_becomes_what_the_page_shows() -> None:
    shown = dict(re.findall(r"^```(yaml|toml)\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL))
    assert toml_text(converted(shown["yaml"]).tables) == shown["toml"]


# Deployments.


@pytest.mark.parametrize(
    ("params", "target", "base_url"),
    [
        ("{model: gpt-4o}", "openai/gpt-4o", "https://api.openai.com/v1"),
        ("{model: o3-mini}", "openai/o3-mini", "https://api.openai.com/v1"),
        ("{model: claude-3-haiku-20240307}", "anthropic/claude-3-haiku-20240307", None),
        ("{model: my-model, custom_llm_provider: groq}", "groq/my-model", None),
        ("{model: openai/meta/llama, api_base: 'http://h:1/v1'}", "compatible/meta/llama", "http://h:1/v1"),
        (
            "{model: siliconflow/Qwen/Q, api_base: 'http://h/v1', api_key: os.environ/S}",
            "siliconflow/Qwen/Q",
            "http://h/v1",
        ),
        ("{model: together_ai/a/b}", "together/a/b", None),
        ("{model: ollama/llama3, api_base: 'http://h:11434'}", "ollama/llama3", "http://h:11434/v1"),
        ("{model: ollama_chat/llama3}", "ollama/llama3", None),
        ("{model: hosted_vllm/x/y, api_base: 'http://h:8000/v1'}", "vllm/x/y", "http://h:8000/v1"),
        (
            "{model: azure/d, api_base: 'https://r.openai.azure.com/'}",
            "azure/d",
            "https://r.openai.azure.com/openai/v1",
        ),
        (
            "{model: azure/d, api_base: 'https://r.openai.azure.com/openai/deployments/d?api-version=1'}",
            "azure/d",
            "https://r.openai.azure.com/openai/v1",
        ),
        ("{model: azure/d}", "azure/d", "https://RESOURCE.openai.azure.com/openai/v1"),
        ("{model: anthropic/c, api_base: 'https://h'}", "anthropic/c", "https://h/v1"),
        ("{model: gigachat/GigaChat-2-Max}", "gigachat/GigaChat-2-Max", None),
        ("{model: perplexity/sonar}", "perplexity/sonar", "https://api.perplexity.ai"),
    ],
)
def test_a_model_goes_where_litellm_sends_it(params: str, target: str, base_url: str | None) -> None:
    found = converted(f"model_list: [{{model_name: m, litellm_params: {params}}}]")
    served = usable(found)
    assert [str(each) for each in served.models["m"].targets] == [target]
    assert found.tables["providers"][target.partition("/")[0]].get("base_url") == base_url


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("{model_name: m, litellm_params: {model: vertex_ai/gemini}}", "'gemini' needs requests that are signed"),
        ("{model_name: m, litellm_params: {model: '*'}}", "'*' stands for every model of every provider."),
        ("{model_name: m, litellm_params: {model: cohere/command}}", "names a provider that is not known here"),
        ("{model_name: m, litellm_params: {model: openai/*}}", "'*' has a '*', and the name 'm' has none"),
        ("{model_name: m, litellm_params: {model: gpt-image-1}, model_info: {mode: image_generation}}",
         "the mode 'image_generation' is not served here."),
        ("{model_name: '*-*', litellm_params: {model: openai/*}}", "a name has one '*' at most."),
        ("{litellm_params: {model: gpt-4o}}", "has no 'model_name'"),
        ("{model_name: m}", "or no 'litellm_params.model'"),
        ("nothing", "is no table."),
    ],
)  # fmt: skip
def test_what_cannot_be_served_is_left_out_with_its_reason(row: str, why: str) -> None:
    found = converted(f"model_list: [{row}]")
    assert why in told(found)
    assert found.tables["models"] == {}


def test_patterns_stay_patterns() -> None:
    found = converted("""
model_list:
- {model_name: "*", litellm_params: {model: "openai/*", api_key: os.environ/OPENAI_API_KEY}}
- {model_name: "anthropic/*", litellm_params: {model: "anthropic/*", api_key: os.environ/ANTHROPIC_API_KEY}}
""")
    assert {name: [str(each) for each in model.targets] for name, model in usable(found).models.items()} == {
        "*": ["openai/*"], "anthropic/*": ["anthropic/*"]
    }  # fmt: skip


def test_a_secret_that_is_written_out_becomes_a_variable_of_its_own() -> None:
    found = converted("""
model_list:
- model_name: a
  litellm_params: {model: gpt-4o, api_key: very-secret-1, extra_headers: {X-Auth: very-secret-2, X-Team: search}}
- {model_name: b, litellm_params: {model: gpt-4o, api_key: very-secret-3, organization: org-1}}
- {model_name: c, litellm_params: {model: gpt-4o, api_key: very-secret-1}}
""")
    text = toml_text(found.tables) + told(found)
    assert "very-secret" not in text
    providers = found.tables["providers"]
    assert providers["openai"]["api_key"] == providers["openai-3"]["api_key"] == "env:OPENAI_API_KEY"
    assert providers["openai"]["headers"] == {"X-Auth": "env:OPENAI_X_AUTH", "X-Team": "search"}
    assert providers["openai-2"]["api_key"] == "env:OPENAI_API_KEY_2"
    assert providers["openai-2"]["headers"] == {"OpenAI-Organization": "org-1"}
    assert "Secrets are references here: set OPENAI_API_KEY_2 to it." in told(found)
    usable(found)


def test_credentials_of_a_list_are_those_of_the_deployment() -> None:
    found = converted("""
credential_list:
- credential_name: eu
  credential_values: {api_key: os.environ/AZURE_EU, api_base: "https://eu.openai.azure.com"}
  credential_info: {description: ours}
model_list:
- {model_name: a, litellm_params: {model: azure/gpt-4o, litellm_credential_name: eu}}
- {model_name: b, litellm_params: {model: gpt-4o, litellm_credential_name: gone}}
""")
    table = found.tables["providers"]["azure"]
    assert (table["api_key"], table["base_url"]) == ("env:AZURE_EU", "https://eu.openai.azure.com/openai/v1")
    assert "litellm_credential_name: names 'gone', which 'credential_list' does not have." in told(found)
    usable(found)


def test_an_address_in_a_variable_is_taken_from_there_or_told() -> None:
    text = (
        "model_list: [{model_name: a, litellm_params: {model: openai/x, api_base: os.environ/BASE_URL, api_key: none}}]"
    )
    assert converted(text, BASE_URL="http://h/v1").tables["providers"]["compatible"]["base_url"] == "http://h/v1"
    found = converted(text)
    assert found.tables["providers"]["compatible"] == {"kind": "openai", "base_url": "https://base-url.invalid"}
    assert "is in BASE_URL, which is not set here. Write it in the place of https://base-url.invalid" in told(found)


def test_an_address_that_is_none_stays_for_check_to_tell() -> None:
    found = converted("model_list: [{model_name: a, litellm_params: {model: azure/x, api_base: <your-endpoint>}}]")
    assert found.tables["providers"]["azure"]["base_url"] == "<your-endpoint>"
    with pytest.raises(SettingsError, match="Base URL '<your-endpoint>' has no scheme"):
        usable(found)


def test_gigachat_keeps_its_scope_and_is_told_whom_to_trust() -> None:
    found = converted("""
model_list:
- model_name: giga
  litellm_params: {model: gigachat/GigaChat-2-Pro, scope: GIGACHAT_API_B2B, ssl_verify: false}
""")
    assert found.tables["providers"]["gigachat"] == {
        "kind": "gigachat", "credentials": "env:GIGACHAT_CREDENTIALS", "scope": "GIGACHAT_API_B2B", "insecure": True
    }  # fmt: skip


def test_what_a_model_cannot_do_and_costs_is_known() -> None:
    found = converted("""
model_list:
- model_name: m
  litellm_params:
    model: gpt-4o
    input_cost_per_token: 0.0000025
    output_cost_per_token: 1e-5
    cache_read_input_token_cost: 0.00000125
    cache_creation_input_token_cost_above_1hr: 0.000005
  model_info: {supports_function_calling: false, supports_vision: true, max_input_tokens: 128000, access_groups: [beta]}
- model_name: n
  litellm_params: {model: gpt-4o, input_cost_per_token: 1, output_cost_per_token: 1}
- model_name: o
  litellm_params: {model: gpt-4o-mini, input_cost_per_token: 1}
- model_name: p
  litellm_params: {model: gpt-4.1, input_cost_per_token: cheap, output_cost_per_token: 1}
""")
    served = usable(found)
    (target,) = served.models["m"].targets
    assert (target.capabilities.tools, target.capabilities.vision, target.capabilities.context) == (False, True, 128000)
    costs = {"input": "2.5", "output": "10", "cached": "1.25", "cache_write_1h": "5"}
    assert found.tables["prices"] == [{"target": "openai/gpt-4o", **costs}]
    for sentence in (
        "model_list[0].model_info.access_groups: has no counterpart: a key names its models",
        "model_list[1].litellm_params.input_cost_per_token: differs from the price of the same target elsewhere",
        "model_list[2].litellm_params.input_cost_per_token: is one of two prices.",
        "model_list[3].litellm_params.input_cost_per_token: or another price is no number.",
    ):
        assert sentence in told(found)


def test_the_same_remark_stands_once() -> None:
    rows = "\n".join(f"- {{model_name: m{n}, litellm_params: {{model: gpt-4o, seed: 1}}}}" for n in range(4))
    (line,) = converted(f"model_list:\n{rows}").untaken
    assert line.startswith("model_list[0].litellm_params.seed and 3 more like it: has no counterpart")


# Routing.

TWO = """
model_list:
- {model_name: m, litellm_params: {model: openai/a, api_base: "http://one/v1", api_key: none MORE_A}}
- model_name: m
  litellm_params: {model: openai/b, api_base: "http://two/v1", api_key: none MORE_B}
  model_info: {id: second}
- {model_name: other, litellm_params: {model: openai/c, api_base: "http://two/v1", api_key: none}}
"""


def two(more: str = "", *, a: str = "", b: str = "") -> Conversion:
    return converted(TWO.replace(" MORE_A", a).replace(" MORE_B", b) + more)


def model(found: Conversion, name: str = "m") -> dict[str, Any]:
    usable(found)
    table: dict[str, Any] = found.tables["models"][name]
    return table


@pytest.mark.parametrize(
    ("strategy", "here"),
    [
        ("simple-shuffle", "by_weight"),
        ("least-busy", "two_choices"),
        ("latency-based-routing", "two_choices"),
        ("usage-based-routing-v2", "two_choices"),
        ("cost-based-routing", "lowest_cost"),
    ],
)
def test_a_strategy_has_its_counterpart(strategy: str, here: str) -> None:
    assert model(two(f"router_settings: {{routing_strategy: {strategy}}}"))["strategy"] == here


def test_a_strategy_that_is_not_known_is_told() -> None:
    found = two("router_settings: {routing_strategy: mine}")
    assert model(found)["strategy"] == "by_weight"
    assert "router_settings.routing_strategy: is 'mine', which is not known here." in told(found)


def test_an_order_comes_before_a_strategy() -> None:
    table = model(two(a=", order: 2", b=", order: 1"))
    assert table == {"targets": ["compatible-2/b", "compatible/a"]}


def test_fallbacks_come_behind_all_of_the_name_s_own() -> None:
    found = two("router_settings: {fallbacks: [{m: [other]}], routing_strategy: least-busy}")
    assert model(found)["strategy"] == "by_weight"
    assert model(found)["targets"][-1] == {"provider": "compatible-2", "model": "c", "weight": 0}
    assert "router_settings.routing_strategy: would rank fallbacks, too" in told(found)


@pytest.mark.parametrize(
    "fallbacks",
    [
        "litellm_settings: {fallbacks: [{other: [second]}]}",
        "litellm_settings: {default_fallbacks: [second]}",
        "router_settings: {context_window_fallbacks: [{other: [second]}]}",
        "router_settings: {content_policy_fallbacks: [{other: second}]}",
    ],
)
def test_fallbacks_may_name_a_deployment_by_its_id(fallbacks: str) -> None:
    table = model(two(fallbacks), "other")
    assert table["targets"] == ["compatible-2/c", "compatible-2/b"]
    assert table.get("content_policy", False) == ("content_policy" in fallbacks)


def test_what_fallbacks_and_aliases_name_in_vain_is_told() -> None:
    found = two("""
router_settings:
  fallbacks: [{m: [gone]}, {unknown: [m]}]
  model_group_alias: {short: m, hidden-one: {model: other, hidden: true}, lost: gone}
""")
    assert set(usable(found).models) == {"m", "other", "short", "hidden-one"}
    for sentence in (
        "router_settings.fallbacks.m: names 'gone', which is not served.",
        "router_settings.fallbacks.unknown: is for a name that is not served.",
        "router_settings.model_group_alias.lost: names 'gone', which is not served.",
        "router_settings.model_group_alias.hidden-one.hidden: has no counterpart: every name is listed.",
    ):
        assert sentence in told(found)


@pytest.mark.parametrize(
    ("more", "params", "attempts"),
    [
        ("router_settings: {num_retries: 0}", "", 1),
        ("litellm_settings: {num_retries: 4}", "", 5),
        ("router_settings: {num_retries: 1}\nlitellm_settings: {num_retries: 4}", "", 2),
        ("router_settings: {num_retries: 1}", ", max_retries: 0", 1),
        ("router_settings: {num_retries: 2}", "", 3),
    ],
)
def test_retries_are_attempts_less_one(more: str, params: str, attempts: int) -> None:
    assert usable(with_model(more, params)).models["m"].patience.attempts == attempts


@pytest.mark.parametrize(
    ("more", "params", "first", "total"),
    [
        ("litellm_settings: {request_timeout: 10}", "", 10, 600),
        ("router_settings: {timeout: 30}\nlitellm_settings: {request_timeout: 10}", "", 30, 600),
        ("router_settings: {timeout: 30}", ", timeout: '7.5'", 7.5, 600),
        ("litellm_settings: {request_timeout: 6000}", "", 6000, 6000),
    ],
)
def test_timeouts_are_those_of_the_provider(more: str, params: str, first: float, total: float) -> None:
    timeouts = getattr(usable(with_model(more, params)).providers["openai"], "timeouts")  # noqa: B009
    assert (timeouts.first, timeouts.total) == (first, total)


# Keys, limits, caches, and who is told.


def test_without_a_master_key_only_this_machine_comes_in() -> None:
    found = with_model("general_settings: {host: 0.0.0.0, port: 8080}")
    served = usable(found)
    assert (served.keys, served.spend, served.server.host, served.server.port) == (None, None, "127.0.0.1", 8080)
    assert "general_settings.host: is left out: without [keys]" in told(found)


def test_a_master_key_becomes_keys_in_a_file() -> None:
    found = with_model("general_settings: {master_key: os.environ/LITELLM_MASTER_KEY}")
    assert found.tables["keys"] == {"url": "sqlite:///keys.db", "pepper": "env:XROUTER_KEYS_PEPPER"}
    assert usable(found).ledger_url is not None


@pytest.mark.parametrize(
    ("duration", "window"),
    [("30d", "30 days"), ("1d", "1 days"), ("24h", "24 hours"), ("60m", "60 minutes"), ("1mo", "calendar month"),
     ("2w", "2 weeks"), ("2mo", "2 month"), ("90s", "90 seconds")],
)  # fmt: skip
def test_a_budget_of_targets_with_prices_is_kept(duration: str, window: str) -> None:
    costs = ", input_cost_per_token: 0.000001, output_cost_per_token: 0.000002"
    found = with_model(f"litellm_settings: {{max_budget: 12.5, budget_duration: {duration}}}", costs)
    assert found.tables["spend"]["limit"] == f"12.5 USD/{window} per all"
    usable(found)


def test_a_budget_without_a_time_is_told() -> None:
    found = with_model("litellm_settings: {max_budget: 100}")
    assert "Write one: [spend] limit = '100 USD/month per all'." in told(found)
    assert "spend" not in found.tables


@pytest.mark.parametrize(
    ("params", "store", "ttl"),
    [
        ("{type: local, ttl: 60}", None, 60),
        ("{type: redis, host: h, port: 1, db: 2}", "redis://h:1/2", 600),
        ("{type: redis}", "env:CACHE_REDIS_URL", 600),
        ("{type: redis, host: h, password: very-secret}", "env:CACHE_REDIS_URL", 600),
        ("{type: redis, url: 'redis://:very-secret@h'}", "env:CACHE_REDIS_URL", 600),
        ("{type: redis, url: os.environ/CACHE_URL}", "env:CACHE_URL", 600),
        ("{}", "env:CACHE_REDIS_URL", 600),
    ],
)
def test_a_cache_is_where_it_was(params: str, store: str | None, ttl: float) -> None:
    found = with_model(f"litellm_settings: {{cache: true, cache_params: {params}}}")
    assert found.tables.get("cache") == (store and {"store": store})
    cache = usable(found, CACHE_URL="redis://h").models["m"].cache
    assert cache is not None
    assert cache.ttl == ttl
    assert "litellm_settings.cache: is not shared among callers here" in told(found)


@pytest.mark.parametrize(
    ("params", "why"),
    [("{type: s3}", "cache_params.type: is 's3'."), ("{mode: default_off}", "cache_params.mode: has no counterpart")],
)
def test_a_cache_that_is_not_known_here_is_told(params: str, why: str) -> None:
    found = with_model(f"litellm_settings: {{cache: true, cache_params: {params}}}")
    assert why in told(found)
    assert usable(found).models["m"].cache is None


@pytest.mark.parametrize(
    ("redis", "storage"),
    [
        ("redis_host: h, redis_port: 1992", "redis://h:1992"),
        ("redis_url: os.environ/LIMITS_URL", "env:LIMITS_URL"),
        ("redis_host: os.environ/REDIS_HOST, redis_password: very-secret", "env:LIMITS_REDIS_URL"),
    ],
)
def test_counts_are_shared_where_they_were(redis: str, storage: str) -> None:
    found = with_model(f"router_settings: {{{redis}}}")
    assert found.tables["rate_limit"]["storage"] == storage
    usable(found, LIMITS_URL="redis://h")


def test_limits_of_deployments_are_added_up_for_their_name() -> None:
    limits = usable(two(a=", rpm: 10, tpm: 1000", b=", rpm: 20")).rate_limit
    assert limits is not None
    assert limits.models == {"m": ("30/minute per all",)}


def test_slow_answers_need_somebody_who_is_told() -> None:
    found = with_model("general_settings: {alerting: [email], alerting_threshold: 30}")
    assert "alerts" not in found.tables
    assert "general_settings.alerting_threshold: is for a channel that is told." in told(found)


# What is no such configuration.


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"model_list: []", "has no deployment in 'model_list' that could be served here."),
        (b"- a\n- b", "has no deployment"),
        (b"", "has no deployment"),
        (b"model_list: {a: b}", "model_list: is no list."),
        (b"key: [very-secret", "is not YAML: expected ',' or ']', but got '<stream end>', in line 1."),
        (b"!!python/object/apply:os.system [very-secret]", "is not YAML: "),
        (b"\xff\xfe\xff", "cannot be read: it is not a text in UTF-8."),
        (None, "cannot be read: No such file or directory."),
    ],
)
def test_a_file_that_is_none_is_told(
    content: bytes | None, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config.yaml"
    if content is not None:
        file.write_bytes(content)
    assert main(["import", "litellm", str(file)]) == 1
    captured = capsys.readouterr()
    assert said in captured.err
    assert "very-secret" not in captured.err
    assert captured.out == ""


def test_without_the_extra_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any, **named: Any) -> Any:
        if name == "yaml":
            raise ImportError(name)
        return real(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    assert main(["import", "litellm", "config.yaml"]) == 1
    assert capsys.readouterr().err == (
        'xrouter import needs PyYAML. Install it with: pip install "xrouter-asgi[import]"\n'
    )


KEYS = st.sampled_from(
    [
        "model",
        "api_key",
        "api_base",
        "fallbacks",
        "timeout",
        "num_retries",
        "cache",
        "cache_params",
        "callbacks",
        "rpm",
        "order",
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["gpt-4o", "*", "os.environ/A", 'é\n"']),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)
SECTIONS = st.sampled_from(["model_list", "router_settings", "litellm_settings", "general_settings", "credential_list"])


@given(VALUES | st.dictionaries(SECTIONS, VALUES), st.dictionaries(KEYS, VALUES))
@settings(max_examples=100, deadline=None)
def test_whatever_stands_there_is_converted_or_told(document: Any, params: dict[str, Any]) -> None:
    if isinstance(document, dict):
        document["model_list"] = [{"model_name": "m", "litellm_params": {"model": "gpt-4o", **params}}]
    found = convert(document, {})
    assert tomllib.loads(toml_text(found.tables)).keys() >= {"server"}


WORDS = st.text(max_size=4)
LEAVES = st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | WORDS
TABLES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3), max_leaves=8
)


@given(st.dictionaries(WORDS, st.dictionaries(WORDS, TABLES, max_size=3), max_size=3))
@settings(max_examples=100, deadline=None)
def test_what_is_written_as_toml_is_read_back(tables: dict[str, Any]) -> None:
    assert tomllib.loads(toml_text(tables)) == tables
