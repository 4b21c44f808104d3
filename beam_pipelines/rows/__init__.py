"""Raw batches to checked rows: keys, splits, rejections."""
