"""What layers begin with: vectors of words from files, and weights of terms counted of records."""
