"""Change points of several series by Apache Otava: JSON on stdin, JSON on stdout. Runs in Otava's own environment.

{"max_pvalue": p, "min_magnitude": ratio, "window_len": n, "series": {NAME: [value, ...]}}
{NAME: [{"index": i, "before": mean, "after": mean, "pvalue": p}, ...]}
"""

from __future__ import annotations

import json
import sys

from otava.analysis import compute_change_points

asked = json.load(sys.stdin)
found = {
    # Lists, not arrays: of an array the detector takes all of it where it should take a window.
    name: compute_change_points(
        [float(value) for value in values], asked["window_len"], asked["max_pvalue"], asked["min_magnitude"]
    )[0]
    for name, values in asked["series"].items()
}
json.dump(
    {
        name: [
            {
                "index": int(point.index),
                "before": float(point.stats.mean_1),
                "after": float(point.stats.mean_2),
                "pvalue": float(point.stats.pvalue),
            }
            for point in points
        ]
        for name, points in found.items()
    },
    sys.stdout,
)
