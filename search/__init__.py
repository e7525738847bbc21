"""The search: configuration, trials, driver, evaluation and records."""
