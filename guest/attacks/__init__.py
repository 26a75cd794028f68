"""Guests that mean harm, as modules to try hosts and engines with."""
