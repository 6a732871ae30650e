"""When a cron line last came due: what tells a run that was missed while the Pi was off."""

import datetime


def field_values(field, low, high):
    values = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        if span == "*":
            first, last = low, high
        else:
            first, _, last = span.partition("-")
            first, last = int(first), int(last or (high if step else first))
        values.update(range(first, last + 1, int(step or 1)))
    return values


def previous(schedule, moment):
    """The last minute at or before `moment` (a naive local time) that the five cron fields name; None within no year."""
    minute, hour, day, month, weekday = schedule.split()
    minutes = sorted(field_values(minute, 0, 59), reverse=True)
    hours = sorted(field_values(hour, 0, 23), reverse=True)
    days, months = field_values(day, 1, 31), field_values(month, 1, 12)
    # 0 and 7 are both Sunday.
    weekdays = {each % 7 for each in field_values(weekday, 0, 7)}
    for back in range(0, 367):
        date = moment.date() - datetime.timedelta(days=back)
        on_day, on_weekday = date.day in days, date.isoweekday() % 7 in weekdays
        # cron(5): when both are restricted, either is enough.
        chosen = (on_day or on_weekday) if not (day.startswith("*") or weekday.startswith("*")) else (on_day and on_weekday)
        if date.month not in months or not chosen:
            continue
        for each_hour in hours:
            for each_minute in minutes:
                found = datetime.datetime.combine(date, datetime.time(each_hour, each_minute))
                if found <= moment:
                    return found
    return None
