"""What a new signature means for callers, and which version may have it."""
