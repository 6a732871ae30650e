"""When a cron line last came due, and when it will next."""

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


def days_of(schedule):
    """Whether a date is one of the days that the last three of the five fields name."""
    _, _, day, month, weekday = schedule.split()
    days, months = field_values(day, 1, 31), field_values(month, 1, 12)
    # 0 and 7 are both Sunday.
    weekdays = {each % 7 for each in field_values(weekday, 0, 7)}
    either = not (day.startswith("*") or weekday.startswith("*"))

    def is_one(date):
        on_day, on_weekday = date.day in days, date.isoweekday() % 7 in weekdays
        # cron(5): when both are restricted, either is enough.
        return date.month in months and ((on_day or on_weekday) if either else (on_day and on_weekday))

    return is_one


def times_of(schedule):
    """The times of day, earliest first."""
    minute, hour = schedule.split()[:2]
    return [datetime.time(each_hour, each_minute) for each_hour in sorted(field_values(hour, 0, 23)) for each_minute in sorted(field_values(minute, 0, 59))]


def previous(schedule, moment):
    """The last minute at or before `moment` (a naive local time) that the five cron fields name; None within no year."""
    return nearest(schedule, moment, -1)


def following(schedule, moment):
    """The first minute after `moment` in the same way."""
    return nearest(schedule, moment, 1)


def nearest(schedule, moment, direction):
    is_one, times = days_of(schedule), times_of(schedule)[::direction]
    for distance in range(367):
        date = moment.date() + datetime.timedelta(days=direction * distance)
        for time in times if is_one(date) else []:
            found = datetime.datetime.combine(date, time)
            if (found > moment) if direction > 0 else (found <= moment):
                return found
    return None
