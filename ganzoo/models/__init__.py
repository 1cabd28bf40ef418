"""Trained generators: the weights format, loading, sampling, exploring and exporting."""
