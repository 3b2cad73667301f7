"""Arrays by name, in files of any format, on disk or in a bucket."""
