"""What stands in the field: probes, valves, supplies of energy."""
