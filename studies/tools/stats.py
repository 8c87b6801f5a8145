"""What the tables of studies need of statistics: 95 % intervals. Standard library only."""
import math
import random
import statistics

# Student's t, 97.5 %, by degrees of freedom.
_T = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262, 10: 2.228, 11: 2.201,
      12: 2.179, 13: 2.160, 14: 2.145, 19: 2.093, 24: 2.064, 29: 2.045}


def wilson(k, n):
    """Wilson's interval of a share k / n."""
    if n == 0:
        return None
    z = 1.959964
    centre = (k + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * math.sqrt(k * (n - k) / n + z * z / 4)
    return [max(0.0, centre - half), min(1.0, centre + half)]


def t_interval(values):
    """Mean and half width of its t interval; the half width is None for fewer than two."""
    n = len(values)
    if n == 0:
        return None, None
    mean = statistics.fmean(values)
    if n == 1:
        return mean, None
    t = _T.get(n - 1) or _T[max(d for d in _T if d <= n - 1)]
    return mean, t * statistics.stdev(values) / math.sqrt(n)


def bootstrap(items, statistic, rounds=2000, seed=1):
    """Percentile interval of statistic(list) over resampled items."""
    rng = random.Random(seed)
    values = sorted(statistic([rng.choice(items) for _ in items]) for _ in range(rounds))
    return [values[int(0.025 * rounds)], values[int(0.975 * rounds) - 1]]


def line(x, y):
    """Slope and R^2 of the least-squares line."""
    mx, my = statistics.fmean(x), statistics.fmean(y)
    xx = sum((a - mx) ** 2 for a in x)
    xy = sum((a - mx) * (b - my) for a, b in zip(x, y))
    yy = sum((b - my) ** 2 for b in y)
    return xy / xx, xy * xy / (xx * yy)
