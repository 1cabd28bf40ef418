"""Shows runs: terms, measurements and samples through time, for `ganzoo curves`."""
