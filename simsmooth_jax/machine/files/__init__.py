"""Files and directories: what is read, what is written, and whose it is."""
