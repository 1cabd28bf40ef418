"""Trained generators as saved: format, loading, sampling, exploring, exporting. Architectures are in plugins/."""
