"""The models that are measured: where they lie, what they are sent, and how fast they are in process at best."""
