"""Models, versions, cards, aliases and artifacts: what was registered, by whom, and that it is still the same."""
