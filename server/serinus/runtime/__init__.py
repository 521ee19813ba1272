"""Everything that knows onnxruntime: sessions, providers, threads, warm-up, cost measurement."""

import os

# Since 1.31 onnxruntime tells its makers of every session from a thread of its own, and keeps a file in the home folder
# for it. What is served here is nobody else's affair; whoever wants it sets the variable to 0. It is read at import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
