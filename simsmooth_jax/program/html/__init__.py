"""report.html: a page of a run or a study that needs nothing but itself."""
