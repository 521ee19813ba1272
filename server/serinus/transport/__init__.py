"""gRPC and HTTP: the only package that knows how calls travel."""
