"""Files on disk: atomic writes, folder locks, strict JSON, checks of output paths, pictures, and names in messages."""
