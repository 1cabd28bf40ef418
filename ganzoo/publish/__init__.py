"""Publishing to the Hugging Face Hub: push, search, and model cards."""
