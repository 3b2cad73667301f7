"""One training: model, inputs, step, loop, and what is kept of it."""
