"""Reports: what a network scores on a split and how its training went, told on one page that a stranger can read."""
