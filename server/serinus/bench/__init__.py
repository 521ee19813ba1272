"""Offers load to a server and says what became of it: for `serinus bench` and the benchmarks.

A schedule (`schedules`) says when calls are due, a `Call` (`calls`, `transports`) makes one, `load` keeps to the
schedule and notes what happened (`notes`), `run` reads percentiles and rates from the notes, `spread` compares repeats.
"""
