"""The Open Inference Protocol, as every client of Triton and KServe speaks it."""
