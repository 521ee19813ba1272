"""The processes that serve: started, watched, replaced; what one of them says reaches all."""
