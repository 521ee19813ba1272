"""What shows that the judge of a rollout errs as seldom as it says, and how soon it notices."""
