"""Episodes on disk and the data sets that read them."""
