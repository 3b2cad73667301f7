"""What every array passes: arguments, meshes, strips, checks."""
