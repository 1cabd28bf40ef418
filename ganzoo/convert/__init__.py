"""Conversion of checkpoints written by other code, read without running what they contain."""
