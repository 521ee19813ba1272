"""Many processes as one server: what the supervisor does for its workers, and each worker for the others."""
