"""What the process stands on: files, memory, signals, processes, devices, terminal."""
