"""Requests to the Hugging Face Hub: time limits, retries, and one line for each failure."""
