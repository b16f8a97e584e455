"""Generated scenes, which need no data."""
