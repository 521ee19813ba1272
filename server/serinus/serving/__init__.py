"""The predict stack: one layer around a `Predictor` per file."""
