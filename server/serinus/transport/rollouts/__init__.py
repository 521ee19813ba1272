"""AdminService: rollouts, and who moves them."""
