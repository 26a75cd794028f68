"""Guests in Wasmtime: engine, instances, nodes."""
