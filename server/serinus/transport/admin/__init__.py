"""AdminService: how the server fares, and what an operator may tell it."""
