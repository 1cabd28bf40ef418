"""The training engine: builds networks from registered parts and runs the phases of a loss."""
