"""Numbers as people read them."""

_S_PER_MS = 1e-3
_KIB = 1024.0
_THOUSAND = 1000.0
_PERIODS = (("d", 86_400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1))
_HUNDREDTH = 0.01
_TENTHS_BELOW_S = 10  # a few seconds are told apart by their tenths


def seconds(value: float) -> str:
    """A duration with three digits: "85 µs", "1.25 ms", "2.50 s"; "-" for none."""
    if value <= 0:
        return "-"
    if value < _S_PER_MS:
        return f"{value * 1e6:.0f} µs"
    if value < 1:
        return f"{_three_digits(value * 1e3)} ms"
    return f"{_three_digits(value)} s"


def period(value_s: float) -> str:
    """How long something lasts that people wait for: "4.2 s", "45 s", "2 min 5 s", "1 d 4 h"."""
    if value_s < _TENTHS_BELOW_S:
        return f"{max(0.0, value_s):.1f}".removesuffix(".0") + " s"
    whole_s = round(value_s)
    for unit, unit_s, smaller, smaller_s in _PERIODS:
        if whole_s >= unit_s:
            count, rest_s = divmod(whole_s, unit_s)
            rest = rest_s // smaller_s
            return f"{count} {unit} {rest} {smaller}" if rest else f"{count} {unit}"
    return f"{whole_s} s"


def percent(share: float) -> str:
    """A share as people read it, to a hundredth of a percent: "0.13 %", "5 %"; less than that with one digit."""
    value = share * 100
    if 0 < abs(value) < _HUNDREDTH:
        return f"{value:.1g} %"
    return f"{value:.2f}".rstrip("0").rstrip(".") + " %"


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
