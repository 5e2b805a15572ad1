"""A generative adversarial network on digits of 8x8 pixels, with a training step of its own.

python examples/gan.py
"""

import jax
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

import kcompile
from kcompile import layers

LATENT = 16

digits = load_digits()
images = (digits.images.astype("float32") / 8.0 - 1.0)[..., None]


def make_generator():
    return kcompile.Sequential(
        [
            layers.Input((LATENT,), name="noise"),
            layers.Dense(2 * 2 * 64, use_bias=False),
            layers.Reshape((2, 2, 64)),
            layers.BatchNormalization(momentum=0.9),
            layers.LeakyReLU(0.2),
            layers.Conv2DTranspose(32, 4, strides=2, padding="same", use_bias=False),
            layers.BatchNormalization(momentum=0.9),
            layers.LeakyReLU(0.2),
            layers.Conv2DTranspose(1, 4, strides=2, padding="same", activation="tanh"),
        ],
        name="generator",
    )


def make_discriminator():
    return kcompile.Sequential(
        [
            layers.Input((8, 8, 1), name="image"),
            layers.Conv2D(32, 4, strides=2, padding="same"),
            layers.LeakyReLU(0.2),
            layers.Conv2D(64, 4, strides=2, padding="same"),
            layers.LeakyReLU(0.2),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(1),
        ],
        name="discriminator",
    )


def cross_entropy(logits, is_real):
    return jax.nn.softplus(-logits if is_real else logits).mean()


class GAN(kcompile.Model):
    """Two models that train against each other, each with an optimizer of its own."""

    def __init__(self):
        super().__init__(name="gan")
        self.generator = make_generator()
        self.discriminator = make_discriminator()
        self.generator_optimizer = kcompile.optimizers.Adam(1e-3, beta_1=0.5)
        self.discriminator_optimizer = kcompile.optimizers.Adam(1e-3, beta_1=0.5)
        self.generator_optimizer.build(self.generator.trainable_variables)
        self.discriminator_optimizer.build(self.discriminator.trainable_variables)
        self.noise_seed = kcompile.random.SeedGenerator(7)

    def call(self, noise):
        return self.generator(noise)

    def train_step(self, state, data):
        """First the discriminator learns from the batch, then the generator from the new one."""
        trained, others, slots, metrics = state
        noise, real = data
        cut, kept = len(self.generator.trainable_variables), len(self.generator_optimizer.variables)
        statistics = len(self.generator.non_trainable_variables)
        by_generator, by_discriminator = trained[:cut], trained[cut:]
        moving, drawn = others[:statistics], others[statistics:]

        def discriminator_loss(weights):
            fake, _ = self.generator.stateless_call(by_generator, moving, noise, training=True)
            on_real, _ = self.discriminator.stateless_call(weights, drawn, real, training=True)
            on_fake, _ = self.discriminator.stateless_call(weights, drawn, fake, training=True)
            return cross_entropy(on_real, True) + cross_entropy(on_fake, False)

        d_loss, gradients = jax.value_and_grad(discriminator_loss)(by_discriminator)
        by_discriminator, d_slots = self.discriminator_optimizer.stateless_apply(
            slots[kept:], gradients, by_discriminator
        )

        def generator_loss(weights):
            fake, after = self.generator.stateless_call(weights, moving, noise, training=True)
            logits, _ = self.discriminator.stateless_call(
                by_discriminator, drawn, fake, training=True
            )
            return cross_entropy(logits, True), after

        (g_loss, moving), gradients = jax.value_and_grad(generator_loss, has_aux=True)(by_generator)
        by_generator, g_slots = self.generator_optimizer.stateless_apply(
            slots[:kept], gradients, by_generator
        )
        logs = {"discriminator_loss": d_loss, "generator_loss": g_loss}
        trained = [*by_generator, *by_discriminator]
        return logs, (trained, [*moving, *drawn], [*g_slots, *d_slots], metrics)


kcompile.utils.set_random_seed(0)
rng = np.random.default_rng(0)
gan = GAN()
gan.compile()
for _ in range(6):
    noise = rng.normal(size=(len(images), LATENT)).astype("float32")
    gan.fit(noise, images, batch_size=64, epochs=10, verbose=2)

# A classifier of real digits is surer of what looks like a digit than of noise.
judge = LogisticRegression(max_iter=2000).fit(images.reshape(-1, 64), digits.target)


def looks(pictures):
    """Mean confidence of the classifier, and how many kinds of digits it sees."""
    likelihood = judge.predict_proba(np.asarray(pictures).reshape(-1, 64))
    return likelihood.max(axis=1).mean(), len(set(likelihood.argmax(axis=1)))


noise = rng.normal(size=(500, LATENT)).astype("float32")
executable = kcompile.compile(gan.generator)
(made,) = executable.run(noise).values()
difference = np.abs(made - gan.generator.predict(noise, verbose=0)).max()
confidence, kinds = looks(made)
spread = np.abs(made.mean(axis=0) - images.mean(axis=0)).mean()
blank = np.abs(rng.uniform(-1, 1, made.shape).mean(axis=0) - images.mean(axis=0)).mean()
print(f"500 digits made in onnxruntime, {kinds} kinds; classifier's confidence {confidence:.3f}")
print(f"mean pixel differs from real digits' by {spread:.3f}; that of noise by {blank:.3f}")
print(f"onnxruntime: largest difference from XLA {difference:.1e}")
for row in made[:3, ::1, :, 0]:
    print("\n".join("".join(" .:oO#"[int((v + 1) * 2.99)] for v in line) for line in row), "\n")
assert difference < 1e-4
assert spread < blank / 2
assert kinds >= 5
