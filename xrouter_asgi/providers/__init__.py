"""Providers: each says a typed call in the language of one kind of upstream."""
