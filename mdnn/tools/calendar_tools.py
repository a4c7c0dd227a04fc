"""The clock and the calendar."""

import datetime
import zoneinfo

from mdnn.tools.tool import LocalTool, ToolError


class Clock(LocalTool):
    """Returns the current date and time.

    Args:
        now: function of a time zone or `None` that returns an aware `datetime`; for tests.
    """

    name = "clock"
    description = "date, weekday and time now"
    parameters = {"timezone": {"type": "string", "description": "such as Europe/Berlin"}}  # noqa: RUF012
    harmless = True

    def __init__(self, now=None):
        self.now = now or (lambda zone: datetime.datetime.now(zone).astimezone(zone))

    def run(self, timezone=""):
        """Returns date, weekday, time and zone."""
        zone = None
        if timezone:
            try:
                zone = zoneinfo.ZoneInfo(timezone)
            except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
                raise ToolError(f"unknown time zone {timezone[:80]!r}") from None
        return self.now(zone).strftime("%Y-%m-%d %A %H:%M:%S %z")


class Calendar(LocalTool):
    """Calculates with dates."""

    name = "calendar"
    description = "weekday of a date; the date some days, weeks or months later; days between two"
    parameters = {  # noqa: RUF012
        "date": {"type": "string", "description": "YYYY-MM-DD"},
        "days": {"type": "integer"},
        "months": {"type": "integer"},
        "until": {"type": "string", "description": "YYYY-MM-DD"},
    }
    required = ("date",)
    harmless = True

    def run(self, date, days=0, months=0, until=""):
        """Returns a date with its weekday, and the days up to another one.

        Args:
            date: str, `YYYY-MM-DD`.
            days, months: int, added to the date.
            until: str, another date; `""`: none.

        Raises:
            ToolError: not a date, or one beyond the years 1 to 9999.
        """
        try:
            result = _added_months(_date(date), months) + datetime.timedelta(days=days)
            text = result.strftime("%Y-%m-%d %A")
        except (OverflowError, ValueError):
            raise ToolError("expected a date from the year 1 to 9999") from None
        if until:
            count = (_date(until) - result).days
            text += f"; {count} days until {until}"
        return text


def _date(text):
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise ToolError(f"expected a date as 2026-01-31, received {text[:40]!r}") from None


def _added_months(date, months):
    """Returns a date some months later; of a day that the month lacks, its last day."""
    year, month = divmod(date.year * 12 + date.month - 1 + months, 12)
    for day in range(date.day, 27, -1):
        try:
            return date.replace(year=year, month=month + 1, day=day)
        except ValueError:
            if not 1 <= year <= 9999:
                raise
    return date.replace(year=year, month=month + 1)
