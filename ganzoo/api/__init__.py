"""The Python API: what `ganzoo.train` and its like do, thin over the requests of the commands."""
