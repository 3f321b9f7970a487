"""Limits and the budgets that keep them."""
