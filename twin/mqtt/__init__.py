"""The twin on MQTT: messages, delivery, discovery."""
