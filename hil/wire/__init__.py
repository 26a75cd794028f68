"""What travels on the serial wire: messages and frames."""
