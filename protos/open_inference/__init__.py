"""The messages of the Open Inference Protocol with Triton's additions, in a descriptor pool of their own."""
