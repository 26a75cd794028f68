"""Modules for a whole field: gate, transfer over MQTT, rollout."""
