/* SPDX-License-Identifier: Apache-2.0 */
#include "times.h"

#include <string.h>

/* n digits at *s, which goes on behind them; -1: there are none. */
static int digits(const char **s, int n)
{
    int v = 0;

    for (; n > 0; n--, ++*s) {
        if (**s < '0' || **s > '9')
            return -1;
        v = 10 * v + (**s - '0');
    }
    return v;
}

static bool skip(const char **s, const char *any_of)
{
    if (**s == '\0' || strchr(any_of, **s) == NULL)
        return false;
    ++*s;
    return true;
}

static bool is_leap(int year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static bool date_parse(const char **s, long *days)
{
    static const int before[] = { 0,   31,  59,  90,  120, 151, 181,
                                  212, 243, 273, 304, 334, 365 };
    int year = digits(s, 4), month, day, last;

    if (year < 1970 || !skip(s, "-") || (month = digits(s, 2)) < 1 || month > 12
        || !skip(s, "-") || (day = digits(s, 2)) < 1)
        return false;
    last = before[month] - before[month - 1];
    if (month == 2 && is_leap(year))
        last++;
    *days = 365L * (year - 1970) + before[month - 1] + day - 1;
    for (int y = 1972; y < year; y += 4)
        *days += is_leap(y);
    if (month > 2 && is_leap(year))
        ++*days;
    return day <= last;
}

/* Behind a point: at least one digit; *us has the first six. */
static bool fraction(const char **s, long *us)
{
    long unit = 100000;

    *us = 0;
    if (!skip(s, "."))
        return true;
    if (**s < '0' || **s > '9')
        return false;
    for (; **s >= '0' && **s <= '9'; ++*s, unit /= 10)
        *us += (**s - '0') * unit;
    return true;
}

static bool time_of_day(const char **s, long *seconds, long *us)
{
    int h = digits(s, 2), m, sec;

    if (h < 0 || h > 23 || !skip(s, ":") || (m = digits(s, 2)) < 0 || m > 59
        || !skip(s, ":") || (sec = digits(s, 2)) < 0 || sec > 60)
        return false;
    *seconds = 3600L * h + 60L * m + sec;
    return fraction(s, us);
}

static bool offset_parse(const char **s, long *offset)
{
    const bool minus = **s == '-';
    int h, m;

    *offset = 0;
    if (skip(s, "Zz"))
        return true;
    if (!skip(s, "+-") || (h = digits(s, 2)) < 0 || h > 23 || !skip(s, ":")
        || (m = digits(s, 2)) < 0 || m > 59)
        return false;
    *offset = (minus ? -60L : 60L) * (60L * h + m);
    return true;
}

bool capif_time_parse_us(const char *text, int64_t *out)
{
    long days = 0, seconds = 0, us = 0, offset = 0;

    if (!date_parse(&text, &days) || !skip(&text, "Tt")
        || !time_of_day(&text, &seconds, &us) || !offset_parse(&text, &offset)
        || *text != '\0')
        return false;
    *out = ((int64_t)days * 86400 + seconds - offset) * 1000000 + us;
    return true;
}

bool capif_time_parse(const char *text, time_t *out)
{
    int64_t us;

    if (!capif_time_parse_us(text, &us))
        return false;
    *out = (time_t)(us / 1000000 - (us % 1000000 < 0));
    return true;
}
