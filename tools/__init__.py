"""Programs for developers: measurements and attacks that are too slow for the tests. Run them as `python -m tools.NAME`."""
