"""Calls that wait for one another: slots, a fair queue, an adaptive limit."""
