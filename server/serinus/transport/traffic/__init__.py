"""AdminService: splits, mirrors and fallbacks that somebody sets by hand."""
