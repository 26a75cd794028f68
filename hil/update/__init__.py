"""Bringing a module onto a device, and what becomes of it there."""
