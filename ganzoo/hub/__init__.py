"""Talks to the Hugging Face Hub: requests with limits, and errors in one line."""
