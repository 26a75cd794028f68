"""The scenario file: its tables, their checks, their documentation."""
