"""How large a network, and how long a training, a proposal begins with."""
