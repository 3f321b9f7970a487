"""An LLM gateway made of ASGI parts."""
