"""Moments as manifests hold them: in UTC, with their zone, to the microsecond."""

from datetime import UTC, datetime
from typing import Any

LONG_AGO = datetime.min.replace(tzinfo=UTC)


def now() -> str:
    """The time as this machine's clock has it."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def moment(text: Any) -> datetime:
    """What a manifest holds. Earlier versions wrote the local time; what is none was long ago."""
    try:
        found = datetime.fromisoformat(text)
        return found.astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        return LONG_AGO


def latest(*texts: Any) -> str:
    """The latest of several moments."""
    return str(max(texts, key=moment))
