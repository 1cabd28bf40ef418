"""Files on disk: atomic writes, folder locks, strict JSON, and pictures."""
