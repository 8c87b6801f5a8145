"""What the tables of studies need of statistics: 95 % intervals. Standard library only."""
import functools
import math
import statistics


def wilson(k, n):
    """Wilson's interval of a share k / n."""
    if n == 0:
        return None
    z = 1.959964
    centre = (k + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * math.sqrt(k * (n - k) / n + z * z / 4)
    return [max(0.0, centre - half), min(1.0, centre + half)]


def incomplete_beta(a, b, x):
    """Regularised incomplete beta function I_x(a, b), by its continued fraction (Lentz's method)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):  # where the fraction of the mirrored one converges faster
        return 1 - incomplete_beta(b, a, 1 - x)
    tiny = 1e-300
    c, d = 1.0, 1 / max(1 - (a + b) * x / (a + 1), tiny)
    value = d
    for m in range(1, 500):
        for numerator in (m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
                          -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))):
            d = 1 / (1 + numerator * d or tiny)
            c = 1 + numerator / c or tiny
            value *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    return math.exp(log_front) * value / a


@functools.lru_cache(maxsize=None)
def t_quantile(freedom, share=0.975):
    """Quantile of Student's t for shares above a half; degrees of freedom need not be whole."""
    low, high = 0.0, 1.0
    while 1 - incomplete_beta(freedom / 2, 0.5, freedom / (freedom + high * high)) / 2 < share:
        low, high = high, 2 * high
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if 1 - incomplete_beta(freedom / 2, 0.5, freedom / (freedom + middle * middle)) / 2 < share:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def t_interval(values):
    """Mean and half width of its t interval; the half width is None for fewer than two."""
    n = len(values)
    if n == 0:
        return None, None
    mean = statistics.fmean(values)
    if n == 1:
        return mean, None
    return mean, t_quantile(n - 1) * statistics.stdev(values) / math.sqrt(n)


def jackknife(items, statistic):
    """Interval of statistic(list) that is no mean: the value plus and minus t times the jackknife's standard error, items left
    out one by one. None for fewer than two."""
    n = len(items)
    if n < 2:
        return None
    value = statistic(items)
    without = [statistic(items[:i] + items[i + 1:]) for i in range(n)]
    half = t_quantile(n - 1) * math.sqrt((n - 1) / n) * math.sqrt(sum((v - statistics.fmean(without)) ** 2 for v in without))
    return [value - half, value + half]


def line(x, y):
    """Slope and R^2 of the least-squares line."""
    mx, my = statistics.fmean(x), statistics.fmean(y)
    xx = sum((a - mx) ** 2 for a in x)
    xy = sum((a - mx) * (b - my) for a, b in zip(x, y))
    yy = sum((b - my) ** 2 for b in y)
    return xy / xx, xy * xy / (xx * yy)
