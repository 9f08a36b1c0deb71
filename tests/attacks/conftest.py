"""These notebooks are hostile: only the grader's sandbox may run them, never nbval."""

collect_ignore_glob = ["*.ipynb"]
