"""Numbers as people read them."""

from __future__ import annotations

from datetime import datetime

from cjledger.render.plain import plain


def size(count: float) -> str:
    """Bytes as ``512 B``, ``1.5 kB``, ``20 MB``."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(count) < 999.5 or unit == "TB":
            break
        count /= 1000
    return f"{count:.1f} {unit}" if unit != "B" and abs(count) < 9.95 else f"{count:.0f} {unit}"


def duration(seconds: float) -> str:
    """Seconds as ``40 ms``, ``1.4 s``, ``12 s``, ``3 min 5 s``, ``2 h 10 min``, ``3 d 4 h``."""
    if seconds < 0.9995:
        return f"{max(seconds, 0.0) * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{max(seconds, 0.0):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        (many, large), (few, small) = (whole // 60, "min"), (whole % 60, "s")
    elif whole < 86400:
        (many, large), (few, small) = (whole // 3600, "h"), (whole % 3600 // 60, "min")
    else:
        (many, large), (few, small) = (whole // 86400, "d"), (whole % 86400 // 3600, "h")
    return f"{many} {large} {few} {small}" if few else f"{many} {large}"


def moment(text: str | None) -> str:
    """A time of a file as the local ``2026-01-31 13:00``; what is no time comes back as it was."""
    if not text:
        return ""
    try:
        return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        return plain(text)


def number(value: object) -> str:
    """A cell's text: floats in at most six digits, nothing for None, words for truth."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.6g}"
    return plain(str(value))


def exact(value: object) -> str:
    """A cell's text with all its digits, for what reads it."""
    return repr(value) if isinstance(value, float) else number(value)
