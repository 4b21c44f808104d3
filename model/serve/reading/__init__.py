"""Reading: what a request holds, from bytes to tensors, and back; large ones in a process of their own."""
