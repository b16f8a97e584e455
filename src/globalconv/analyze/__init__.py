"""What can be measured of any network: what it costs, and from where in an image it takes what it knows."""
