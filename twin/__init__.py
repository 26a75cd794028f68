"""What stands a device beside its simulation, and the command line."""
