"""Many runs of one scenario: every combination of some settings, with many seeds."""
