"""Calibrations: asked for, tried on the past, granted, expired."""
