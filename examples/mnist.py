"""MNIST: handwritten digits, written as one would for Keras.

    python examples/mnist.py

The first run downloads the data set (11 MB).
"""

from kcompile.datasets import mnist
from kcompile.layers import Activation, Dense, Dropout, Flatten
from kcompile.models import Sequential
from kcompile.utils import to_categorical

(X_train, y_train), (X_test, y_test) = mnist.load_data()
X_train = X_train.astype("float32") / 255
X_test = X_test.astype("float32") / 255
y_train = to_categorical(y_train, 10)
y_test = to_categorical(y_test, 10)

model = Sequential()
model.add(Flatten(input_shape=(28, 28)))
model.add(Dense(512))
model.add(Activation("relu"))
model.add(Dropout(0.5))
model.add(Dense(512))
model.add(Activation("relu"))
model.add(Dropout(0.5))
model.add(Dense(10))
model.add(Activation("softmax"))

model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
history = model.fit(X_train, y_train, batch_size=32, epochs=20, validation_split=0.2, verbose=1)

score = model.evaluate(X_test, y_test, verbose=0)
print("test loss:", score[0])
print("test accuracy:", score[1])
