"""Soil water: Richards' equation, the bucket, hydraulic functions, root uptake."""
