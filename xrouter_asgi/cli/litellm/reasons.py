"""What LiteLLM can be told and this gateway cannot, and what to do instead.

Each continues a sentence that begins with the name of the setting. An empty one says that nothing is lost.
"""

from __future__ import annotations

from collections.abc import Mapping

NO_COUNTERPART = "has no counterpart here."

_COOLDOWNS = "has no counterpart: how long a target is left alone follows from what it answers. See docs/policies.md."
_TIMES = "has no counterpart: 'timeouts' of a provider bound whole answers and streams alike."
_TAGS = "has no counterpart. Give each tag a name of its own in [models]."
_PARAMETERS = "has no counterpart: clients send it themselves, and a model has no parameters of its own here."
_HOST_APP = "has no counterpart in settings. In an app of yours: APIKeyMiddleware(router, identify=…)."
_GUARD = "has no counterpart in settings. In an app of yours: Guard, see docs/policies.md."
_WATCHED = "has no counterpart: upstreams are watched by the requests that they get."
_UI = "has no counterpart: there is no page to manage the gateway at. Keys are made by xrouter keys."
_LANGFUSE = "takes traces by OpenTelemetry. Write its address as [tracing] endpoint, and its key in 'headers'."

FILE: Mapping[str, str] = {
    "environment_variables": "has no counterpart. Put them into the environment, or into a file: --env-file.",
    "include": "has no counterpart. Import each of its files by itself.",
    "guardrails": _GUARD,
    "mcp_servers": "has no counterpart: clients talk to their tools themselves.",
}
PARAMS: Mapping[str, str] = {
    "api_version": "",  # Azure's API without versions is asked
    "drop_params": "",
    "stream_timeout": _TIMES,
    "additional_drop_params": "has no counterpart: what an upstream does not know is told to the client.",
    "tags": _TAGS,
    **dict.fromkeys(("temperature", "max_tokens", "top_p", "seed", "stop", "reasoning_effort"), _PARAMETERS),
    **dict.fromkeys(("frequency_penalty", "presence_penalty", "extra_body"), _PARAMETERS),
}
INFO: Mapping[str, str] = {
    **dict.fromkeys(("version", "base_model", "description", "max_output_tokens", "litellm_provider"), ""),
    **dict.fromkeys(("supports_system_messages", "supports_prompt_caching", "supports_parallel_function_calling"), ""),
    "access_groups": "has no counterpart: a key names its models, or patterns of them.",
    "supported_environments": "has no counterpart. Write a file of settings for each environment.",
    "health_check_model": _WATCHED,
}
ROUTER: Mapping[str, str] = {
    **dict.fromkeys(("allowed_fails", "allowed_fails_policy", "cooldown_time", "disable_cooldowns"), _COOLDOWNS),
    "retry_policy": "has no counterpart: what is asked again follows from the error. See docs/policies.md.",
    "retry_after": "has no counterpart: the wait grows with each attempt, or is the upstream's.",
    "stream_timeout": _TIMES,
    "max_fallbacks": "has no counterpart: four attempts are made for a request.",
    **dict.fromkeys(("enable_tag_filtering", "tag_filtering_match_any"), _TAGS),
    **dict.fromkeys(("enable_pre_call_checks", "set_verbose", "debug_level", "client_ttl"), ""),
}
GENERAL: Mapping[str, str] = {
    "store_model_in_db": "has no counterpart: models stand in the file, which is reloaded when it changes.",
    "store_prompts_in_spend_logs": "has no counterpart: what people write is never kept.",
    **dict.fromkeys(("background_health_checks", "health_check_interval"), _WATCHED),
    **dict.fromkeys(("custom_auth", "enable_jwt_auth", "enable_oauth2_auth"), _HOST_APP),
    "use_x_forwarded_for": 'has no counterpart. Write server.trusted_proxies = ["10.0.0.0/8"] with your proxies.',
    "allowed_ips": "has no counterpart. Let the proxy in front, or the firewall, do it.",
    "allow_requests_on_db_unavailable": "has no counterpart: known keys are good for a minute without the database.",
    **dict.fromkeys(("disable_spend_logs", "proxy_batch_write_at", "maximum_spend_logs_retention_interval"), ""),
    **dict.fromkeys(("database_connection_pool_limit", "database_connection_timeout"), ""),
    **dict.fromkeys(("ui_access_mode", "disable_master_key_return", "custom_sso", "litellm_license"), _UI),
}
LIBRARY: Mapping[str, str] = {
    "drop_params": "has no counterpart: what an upstream cannot do is told, by an error or in x-xrouter-warnings.",
    **dict.fromkeys(("allowed_fails", "cooldown_time"), _COOLDOWNS),
    "return_response_headers": "has no counterpart: an upstream's headers stay here.",
    "default_key_generate_params": "has no counterpart. Write the limits of all keys as [rate_limit] limit.",
    "default_team_settings": "has no counterpart. A team is a group of keys: xrouter keys create --group.",
    "guardrails": _GUARD,
    **dict.fromkeys(("turn_off_message_logging", "redact_messages_in_exceptions", "redact_user_api_key_info"), ""),
    **dict.fromkeys(("set_verbose", "telemetry", "json_logs"), ""),
}
CALLBACKS: Mapping[str, str] = {
    **dict.fromkeys(("langfuse", "langfuse_otel"), _LANGFUSE),
    "datadog": "has no counterpart. Its agent takes traces and metrics by OpenTelemetry: [tracing], [metrics.otlp].",
}
