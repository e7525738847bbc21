"""After the search: the only room that opens a test image."""
