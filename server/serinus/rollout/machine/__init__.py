"""Where a rollout stands, and what is in force there. Pure."""
