"""What grows with the data while it is analysed: kept in sorted files, merged block by block."""
