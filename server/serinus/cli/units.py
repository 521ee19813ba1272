"""Numbers as people read them."""

_S_PER_MS = 1e-3
_KIB = 1024.0
_THOUSAND = 1000.0


def seconds(value: float) -> str:
    """A duration with three digits: "85 µs", "1.25 ms", "2.50 s"; "-" for none."""
    if value <= 0:
        return "-"
    if value < _S_PER_MS:
        return f"{value * 1e6:.0f} µs"
    if value < 1:
        return f"{_three_digits(value * 1e3)} ms"
    return f"{_three_digits(value)} s"


def rate(value: float | None) -> str:
    """A rate per second: "0", "12.5", "1.20k"; "-" when it is not known."""
    if value is None:
        return "-"
    if value == 0:
        return "0"
    return f"{_three_digits(value / _THOUSAND)}k" if value >= _THOUSAND else _three_digits(value)


def size(size_bytes: float) -> str:
    """An amount of memory: "512 B", "1.50 MiB"."""
    if size_bytes < _KIB:
        return f"{size_bytes:.0f} B"
    for unit in ("KiB", "MiB", "GiB"):
        size_bytes /= _KIB
        if size_bytes < _KIB:
            return f"{_three_digits(size_bytes)} {unit}"
    return f"{_three_digits(size_bytes / _KIB)} TiB"


def _three_digits(value: float) -> str:
    whole_digits = len(f"{value:.0f}")
    return f"{value:.{max(0, 3 - whole_digits)}f}"
