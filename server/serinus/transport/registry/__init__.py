"""RegistryService: what is registered, and how it comes and goes."""
