"""The outer onion: ASGI middlewares. Each works alone, around any application."""
