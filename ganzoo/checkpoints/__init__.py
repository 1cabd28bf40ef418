"""Training checkpoints: saved atomically, verified by checksum, resumed and thinned out."""
