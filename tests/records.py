"""Made-up records for tests of tables and pictures."""

from mobilelab.measure import Host, Record

HOST = Host("cpu", 2, "Linux x86_64", "3.11.7", "2.12.1", "qnnpack", "2026-01-01")


def record(variant="a", **changes):
    values = {
        "variant": variant,
        "chapter": "01",
        "file": f"{variant}.ptl",
        "file_kb": 100.0,
        "rel_l2": 0.0,
        "max_abs": 0.0,
        "agreement": 1.0,
        "verdict": "same",
        "accuracy": 0.99,
        "median_ms": 1.0,
        "iqr_ms": 0.1,
        "p95_ms": 1.5,
        "threads": 1,
        "peak_added_mib": 3.0,
        "peak_total_mib": 300.0,
        "host": HOST,
        "times_float": 1.0,
        "float_ms": 1.0,
    }
    return Record(**{**values, **changes})
