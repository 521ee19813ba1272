"""What people see of rollouts, and do to them."""
