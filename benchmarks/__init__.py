"""Measures what sessionspan costs, as ratios against the bare library in one run."""
