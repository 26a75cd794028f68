"""Compares the models with other programs; not installed."""
