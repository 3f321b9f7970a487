"""`xrouter import litellm`: the settings that a configuration of LiteLLM's proxy stands for."""
