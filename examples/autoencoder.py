"""Autoencoder: digits of 8x8 pixels through 8 numbers and back, against PCA with as many.

python examples/autoencoder.py
"""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

import kcompile
from kcompile import layers

CODE_SIZE = 8

pixels = load_digits().images.astype("float32")[..., None] / 16.0
order = np.random.default_rng(0).permutation(len(pixels))
train, test = pixels[order[:1500]], pixels[order[1500:]]

kcompile.utils.set_random_seed(0)
encoder = kcompile.Sequential(
    [
        layers.Input((8, 8, 1)),
        layers.Conv2D(16, 3, strides=2, padding="same", activation="relu"),
        layers.Conv2D(32, 3, strides=2, padding="same", activation="relu"),
        layers.Flatten(),
        layers.Dense(CODE_SIZE),
    ],
    name="encoder",
)
decoder = kcompile.Sequential(
    [
        layers.Input((CODE_SIZE,)),
        layers.Dense(2 * 2 * 32, activation="relu"),
        layers.Reshape((2, 2, 32)),
        layers.Conv2DTranspose(32, 3, strides=2, padding="same", activation="relu"),
        layers.Conv2DTranspose(16, 3, strides=2, padding="same", activation="relu"),
        layers.Conv2D(1, 3, padding="same", activation="sigmoid"),
    ],
    name="decoder",
)
image = layers.Input((8, 8, 1), name="image")
autoencoder = kcompile.Model(image, decoder(encoder(image)))
autoencoder.compile(kcompile.optimizers.Adam(3e-3), "mse")
autoencoder.fit(train, train, batch_size=64, epochs=40, verbose=2)

error = autoencoder.evaluate(test, test, verbose=0)
linear = PCA(CODE_SIZE).fit(train.reshape(-1, 64))
restored = linear.inverse_transform(linear.transform(test.reshape(-1, 64)))
linear_error = float(np.mean((restored - test.reshape(-1, 64)) ** 2))
print(f"mean squared error on {len(test)} held-out digits: {error:.4f}; PCA: {linear_error:.4f}")
assert error < linear_error

# The two halves are two files: codes are made in one place and read in another.
to_code, to_image = kcompile.compile(encoder), kcompile.compile(decoder)
(codes,) = to_code.run(test).values()
(images,) = to_image.run(codes).values()
difference = np.abs(images - autoencoder.predict(test, verbose=0)).max()
print(f"onnxruntime: {codes.nbytes:,} bytes of codes for {test.nbytes:,} bytes of pixels;", end=" ")
print(f"largest difference from XLA {difference:.1e}")
assert difference < 1e-4
