"""What a records directory holds: layout, IDs, vocabularies, manifest."""
