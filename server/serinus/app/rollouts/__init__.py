"""What rollouts need of the rest, plugged together."""
