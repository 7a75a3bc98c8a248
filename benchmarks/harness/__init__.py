"""What every benchmark shares: environments, timing, errors, tables, results."""
