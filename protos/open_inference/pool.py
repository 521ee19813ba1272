"""Holds the descriptors of the Open Inference Protocol, apart from everyone else's.

Clients such as tritonclient register the same names (`inference.ModelInferRequest`, ...) in protobuf's default pool,
and a pool refuses the second definition of a name. With a pool of our own they and Serinus share a process in any order
of imports. The price: a message of theirs is not one of ours; hand one over as bytes.

It holds for protobuf's C implementation, which every wheel has. The pure-Python one registers each class in the default
pool too, whichever pool it came from.
"""

from google.protobuf.descriptor_pool import DescriptorPool

POOL = DescriptorPool()
