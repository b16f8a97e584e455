"""HTML reports: how well networks do on a split and how their training went, on one page."""
