"""Trained generators as folders of a config.json and a model.safetensors: written, verified, loaded, published and converted.

`load` draws on everything here; see `docs/weights.md` for the format.
"""
