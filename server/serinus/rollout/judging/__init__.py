"""Says from what was counted whether a candidate passes or fails. Pure."""
