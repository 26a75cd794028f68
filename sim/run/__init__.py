"""A run: from a scenario to arrays, through the season, to a run directory."""
