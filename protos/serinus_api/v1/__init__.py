"""Version 1 of the protocol: `predict_pb2` and `admin_pb2`."""
