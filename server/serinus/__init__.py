"""Serinus: a gRPC model server for ONNX models."""
