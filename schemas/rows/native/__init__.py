"""Values as files hold them, of every type of Arrow, as the texts and the numbers that rows are of."""
