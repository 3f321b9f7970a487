"""This gateway beside others, and how its cost grows."""
