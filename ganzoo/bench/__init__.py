"""Comparing variants fairly: what ran, how well, how sure one may be of it, and what it cost."""
