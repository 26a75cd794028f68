"""The search for what breaks a guest: random weather, faults and timing against what must hold."""
