"""Offers load to a server and says what became of it: for `serinus bench` and the benchmarks."""
