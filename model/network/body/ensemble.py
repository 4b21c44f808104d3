"""A model of several members, each trained by its own loss, that predicts their mean (TabM)."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from skewless.model.network.layer_names import layer_called, layer_name

__all__ = ["EnsembleModel", "members_of"]


def members_of(*label: str) -> str:
    """Returns the name of the layer that gives each member's predictions, of one of several labels."""
    return layer_name("members", *label)


@keras.saving.register_keras_serializable(package="skewless")
class EnsembleModel(keras.Model):
    """A functional model whose layers `members_of` give [batch, members, units].

    Its predictions are their means. Trained is the mean of the members' losses: the loss of their mean
    would let members lean on each other, and they would no longer be several models.
    """

    def train_step(self, data: Any) -> dict[str, Any]:
        """Trains on a batch: as Keras does, but for the loss."""
        features, truth, weight = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape:
            members, predicted = self._whole(features, training=True)
            count = tf.nest.flatten(members)[0].shape[1]

            def of_each(values: tf.Tensor) -> tf.Tensor:
                return tf.repeat(values, count, axis=0)

            loss = self.compute_loss(
                x=features,
                y=tf.nest.map_structure(of_each, truth),
                y_pred=tf.nest.map_structure(
                    lambda each: tf.reshape(each, (-1, each.shape[2])), members
                ),
                sample_weight=tf.nest.map_structure(of_each, weight)
                if weight is not None
                else None,
                training=True,
            )
            rows = tf.shape(tf.nest.flatten(predicted)[0])[0]
            self._loss_tracker.update_state(loss, sample_weight=rows)
            scaled = self.optimizer.scale_loss(loss)
        weights = self.trainable_weights
        self.optimizer.apply_gradients(zip(tape.gradient(scaled, weights), weights, strict=True))
        return dict(self.compute_metrics(features, truth, predicted, sample_weight=weight))

    @property
    def _whole(self) -> keras.Model:
        """The same layers, with the members' predictions as well."""
        found = self.__dict__.get("_with_members")
        if found is None:
            layers = {layer.name: layer for layer in self.layers}
            if isinstance(self.output, dict):
                members: Any = {name: layers[members_of(name)].output for name in self.output}
            else:
                members = layer_called(members_of(), layers).output
            found = keras.Model(self.inputs, [members, self.output])
            # Not as an attribute: Keras would save it as a layer of this model.
            self.__dict__["_with_members"] = found
        return found
