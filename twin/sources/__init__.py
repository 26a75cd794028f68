"""Where the reports of devices come from."""
