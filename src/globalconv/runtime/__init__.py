"""What runs anything: files and locks, devices, processes, threads, signals, progress, memory, compiled functions."""
