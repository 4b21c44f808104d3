"""A spec's own preprocessing function: checked, sent to workers, and analysed by tf.Transform."""
