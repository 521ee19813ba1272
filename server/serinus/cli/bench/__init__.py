"""`serinus bench`: offers load to a server and shows what became of it."""
