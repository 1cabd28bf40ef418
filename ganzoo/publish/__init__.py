"""Publishes models on the Hugging Face Hub and finds them there: push, search, model cards."""
