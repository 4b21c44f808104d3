"""Raw rows: columns, canonical values, tokens, labels."""
