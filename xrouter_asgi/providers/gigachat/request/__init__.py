"""A request in GigaChat's words."""
