"""Times: texts and numbers to microseconds, and microseconds to calendar parts, in TensorFlow."""
