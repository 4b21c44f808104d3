"""What every kind of feature is made of, and kinds with a module of their own."""
