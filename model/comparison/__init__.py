"""Arms of a comparison over seeds, and what differs by more than chance."""
