"""Beam jobs: rows to records, and models applied to rows."""

import os

# tf.Transform sets this too, but only after TensorFlow has imported all of Keras 3, which no Beam
# job needs: a second or two of every start, more where matplotlib or scikit-learn are installed.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
