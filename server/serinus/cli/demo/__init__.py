"""`serinus demo`: a real model, real files, a real server, in one process."""
