"""What a user may set: one frozen class a thing, shared by the scenario's tables and the models."""
