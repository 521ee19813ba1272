"""What each server says of the rollouts that it takes part in."""
