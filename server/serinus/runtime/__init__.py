"""Everything that knows onnxruntime: sessions, providers, threads, warm-up, cost measurement."""
