"""Measured comparison of the five strategies: plan, trials, statistics, results."""
