"""What a run says: report, decisions, comparison, stored results."""
