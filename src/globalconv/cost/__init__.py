"""What a network costs: weights, multiply-adds, activation memory and latency."""
