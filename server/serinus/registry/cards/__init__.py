"""Model cards, and the markdown that they are made of."""
