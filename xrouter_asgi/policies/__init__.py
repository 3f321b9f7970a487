"""Policies: each wraps a provider, is one itself, and has one concern: how long, how many, whether, how often."""
