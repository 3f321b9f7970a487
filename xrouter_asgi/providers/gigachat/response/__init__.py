"""An answer of GigaChat in OpenAI's words."""
