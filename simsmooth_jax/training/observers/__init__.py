"""What watches a training: rows, checkpoints, bars, a trace."""
