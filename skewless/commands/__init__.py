"""What each command is, and how its work is begun."""
