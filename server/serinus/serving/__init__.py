"""The predict stack: each layer around a `Predictor` is a file, or a folder if it has several parts."""
