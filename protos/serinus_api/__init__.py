"""The messages of Serinus by protocol version; generated from the .proto files beside them."""
