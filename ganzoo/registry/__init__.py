"""Plugins: hook specifications, discovery, isolation, look-up by name, installation and scaffolding."""
