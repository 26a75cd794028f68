"""Lines to a device: serial ports, MQTT, the broker."""
