"""Iris: a small classifier on 150 flowers, written as one would for Keras.

python examples/iris.py
"""

from sklearn.datasets import load_iris
from sklearn.model_selection import train_test_split

from kcompile.layers import Activation, Dense
from kcompile.models import Sequential
from kcompile.utils import to_categorical

iris = load_iris()
X_train, X_test, y_train, y_test = train_test_split(
    iris.data, to_categorical(iris.target), test_size=0.2, random_state=0
)

model = Sequential([Dense(4, input_dim=4), Activation("relu"), Dense(3), Activation("softmax")])
model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
history = model.fit(X_train, y_train, batch_size=32, epochs=100, validation_split=0.2, verbose=1)

print("last training accuracy:", history.history["acc"][-1])
print("last validation accuracy:", history.history["val_acc"][-1])

score = model.evaluate(X_test, y_test, verbose=0)
print("test loss:", score[0])
print("test accuracy:", score[1])
