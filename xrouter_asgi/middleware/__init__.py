"""Skins of the outer onion: ASGI middlewares, each of which stands alone."""
