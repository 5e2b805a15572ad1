"""Indices of tokens in a vocabulary: what the lookups of strings and of integers share."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import kcompile.ops as ops
from kcompile.ir.errors import FormatError, SpecError
from kcompile.ir.literal import Literal
from kcompile.ir.ops import HashBucket, Lookup
from kcompile.ir.types import DType
from kcompile.layers.base import Layer
from kcompile.layers.encoding import MODES, check_mode, encode, refuse_sparse
from kcompile.ops.limits import check_numbers
from kcompile.ops.trace import emit

Token = str | int
LOOKUP_MODES = ("int", *MODES, "tf_idf")
INT32 = np.iinfo(np.int32)


class IndexLookup(Layer):
    """What `StringLookup` and `IntegerLookup` share.

    Index 0 is the mask token's if there is one and indices are the output; then `num_oov_indices`
    are for tokens that are not in the vocabulary; the vocabulary's follow.
    """

    token_dtype: DType
    inert_config = {"vocabulary_size": (None,)}

    def __init__(
        self,
        max_tokens: int | None,
        num_oov_indices: int,
        mask_token: Token | None,
        oov_token: Token | None,
        vocabulary: Any,
        idf_weights: Any,
        invert: bool,
        output_mode: str,
        sparse: bool,
        pad_to_max_tokens: bool,
        oov_method: str,
        salt: Any,
        **kwargs: Any,
    ) -> None:
        is_static = kwargs.pop("has_input_vocabulary", vocabulary is not None)
        super().__init__(**kwargs)
        where = f"layer '{self.name}'"
        is_text = self.token_dtype is DType.STRING and not invert
        self._first_dtype = self._first_dtype or ("string" if is_text else "int32")
        self.max_tokens = max_tokens
        self.num_oov_indices = num_oov_indices
        self.mask_token = mask_token
        self.oov_token = oov_token
        self.invert = invert
        self.output_mode = check_mode(output_mode, LOOKUP_MODES, where)
        self.sparse = refuse_sparse(sparse, where)
        self.pad_to_max_tokens = pad_to_max_tokens
        self.oov_method = oov_method
        self.salt = _key(salt, where)
        self._check_arguments(where, idf_weights)
        self._is_static = bool(is_static)
        self._given: tuple[Any, Any] = (None, None)
        self._tokens: list[Any] = []
        self._idf: list[float] = []
        self.reset_state()
        if vocabulary is not None:
            self.set_vocabulary(vocabulary, idf_weights)
            if not isinstance(vocabulary, (str, Path)):
                self._given = (_listed(vocabulary), _listed(idf_weights))

    def _check_arguments(self, where: str, idf_weights: Any) -> None:
        if self.max_tokens is not None and self.max_tokens <= 1:
            raise SpecError(f"max_tokens must be above 1, got {self.max_tokens}", where=where)
        if self.pad_to_max_tokens and self.max_tokens is None:
            raise SpecError("pad_to_max_tokens needs max_tokens", where=where)
        if self.num_oov_indices < 0:
            raise SpecError(
                f"num_oov_indices must be at least 0, got {self.num_oov_indices}", where=where
            )
        if self.invert and self.output_mode != "int":
            raise SpecError("invert is for output_mode='int'", where=where)
        if idf_weights is not None and self.output_mode != "tf_idf":
            raise SpecError("idf_weights are for output_mode='tf_idf'", where=where)
        if self.invert and self.oov_token is None:
            raise SpecError("invert needs an oov_token", where=where)
        if self.oov_method not in ("floormod", "farmhash"):
            raise SpecError(f"oov_method={self.oov_method!r} is not known", where=where)

    # The vocabulary

    @property
    def _oov_start(self) -> int:
        return int(self.mask_token is not None and self.output_mode == "int")

    @property
    def _token_start(self) -> int:
        return self._oov_start + self.num_oov_indices

    @property
    def _special_tokens(self) -> list[Any]:
        check_numbers(self.num_oov_indices)
        return [self.mask_token] * self._oov_start + [self.oov_token] * self.num_oov_indices

    @property
    def vocabulary(self) -> list[Any] | None:
        """For the config: what was given, otherwise what was found."""
        if self._given[0] is not None or not self._tokens:
            return self._given[0]
        return self.get_vocabulary(include_special_tokens=self.output_mode == "tf_idf")

    @property
    def idf_weights(self) -> list[float] | None:
        """For the config: those of `vocabulary`."""
        if self._given[0] is not None or self.output_mode != "tf_idf" or not self._tokens:
            return self._given[1]
        return list(self._idf)

    def get_vocabulary(self, include_special_tokens: bool = True) -> list[Any]:
        """The tokens by index; for the inputs that are none, mask_token and oov_token."""
        special = self._special_tokens if include_special_tokens else []
        return [*special, *self._tokens]

    def vocabulary_size(self) -> int:
        """How many indices there are, special ones included."""
        return self._token_start + len(self._tokens)

    def set_vocabulary(self, vocabulary: Any, idf_weights: Any = None) -> None:
        """Set the tokens, from a sequence or a text file with one in each line.

        Args:
            vocabulary: tokens; they may begin with the special ones, in the order of indices.
            idf_weights: a number for each of them, for output_mode="tf_idf".

        Raises:
            SpecError: a token is there twice or is a special one, there are none or too many, or
                the weights do not fit.
        """
        where = f"layer '{self.name}'"
        if (idf_weights is not None) != (self.output_mode == "tf_idf"):
            raise SpecError("output_mode='tf_idf', and no other, needs idf_weights", where=where)
        if isinstance(vocabulary, (str, Path)):
            text = Path(vocabulary).read_bytes().replace(b"\r\n", b"\n")
            vocabulary = _read_lines(text.removesuffix(b"\n"))
        given = self._as_tokens(_listed(vocabulary))
        if not given:
            raise SpecError("the vocabulary is empty", where=where)
        start = self._token_start
        has_special = start > 0 and given[:start] == self._special_tokens
        tokens = given[start:] if has_special else given
        self._check_tokens(tokens, where)
        weights = [float(number) for number in _listed(idf_weights) or ()]
        if weights and len(weights) != len(given):
            raise SpecError(
                f"there are {len(given)} tokens and {len(weights)} idf_weights", where=where
            )
        if weights and not has_special:
            weights = [float(np.average(weights))] * start + weights
        self._tokens, self._idf = tokens, weights
        self._given = (None, None)

    def _check_tokens(self, tokens: list[Any], where: str) -> None:
        repeated = [token for token, count in Counter(tokens).items() if count > 1]
        if repeated:
            raise SpecError(f"{repeated[0]!r} is in the vocabulary twice", where=where)
        reserved = [self.mask_token] + [self.oov_token] * self.invert
        for token in reserved:
            if token is not None and token in tokens:
                raise SpecError(
                    f"the special token {token!r} is inside the vocabulary",
                    where=where,
                    hint=f"Begin it with {self._special_tokens}, or leave all of them out",
                )
        size = self._token_start + len(tokens)
        if self.max_tokens is not None and size > self.max_tokens:
            raise SpecError(
                f"{size} indices are more than max_tokens={self.max_tokens}", where=where
            )

    def _as_tokens(self, values: Any) -> list[Any]:
        raise NotImplementedError

    # Adapting

    def adapt(self, data: Any, steps: int | None = None) -> None:
        """Make the most frequent tokens of the data the vocabulary; of equal ones the greater.

        Args:
            data: an array or list of tokens, or an iterable of batches, which are arrays.
            steps: how many batches to take; all by default.

        Raises:
            SpecError: the vocabulary was given to the layer.
        """
        self.reset_state()
        if isinstance(data, (list, tuple)) or hasattr(data, "shape"):
            array = np.asarray(data)
            self.update_state(array[:, np.newaxis] if array.ndim == 1 else array)
        else:
            for number, batch in enumerate(data):
                if number == steps:
                    break
                self.update_state(batch)
        self.finalize_state()

    def reset_state(self) -> None:
        """Forget the data seen."""
        self._counts: Counter[Any] = Counter()
        self._document_counts: Counter[Any] = Counter()
        self._num_documents = 0

    def update_state(self, data: Any) -> None:
        """Take a batch into account: rows are documents, an array of rank 1 is one."""
        array = np.asarray(data)
        documents = array.reshape(1, -1) if array.ndim < 2 else array.reshape(len(array), -1)
        self.count(self._as_tokens(document.tolist()) for document in documents)

    def count(self, documents: Iterable[Sequence[Any]]) -> None:
        """Take lists of tokens into account."""
        if self._is_static:
            raise SpecError(
                "its vocabulary was given, so that it cannot adapt", where=f"layer '{self.name}'"
            )
        for tokens in documents:
            self._counts.update(tokens)
            self._document_counts.update(set(tokens))
            self._num_documents += 1

    def finalize_state(self) -> None:
        """Make the vocabulary of the data seen."""
        for special in (self.mask_token, self.oov_token):
            self._counts.pop(special, None)
        if not self._counts:
            return

        def rank(token: Any) -> Any:
            order = token.encode() if isinstance(token, str) else token
            return self._counts[token], order

        limit = None if self.max_tokens is None else self.max_tokens - self._token_start
        self._tokens = sorted(self._counts, key=rank, reverse=True)[:limit]
        self._given = (None, None)
        weights = [
            math.log(1 + self._num_documents / (1 + self._document_counts[token]))
            for token in self._tokens
        ]
        self._idf = [float(np.mean(weights))] * self._token_start + weights
        self.reset_state()

    # What it computes

    @property
    def vocabulary_state(self) -> tuple[Any, ...]:
        """What programs have of the vocabulary."""
        return (*self._tokens, *self._idf)

    @property
    def uses_host(self) -> bool:
        """Whether strings, hashes or errors are part of it."""
        hashes = self.num_oov_indices > 1 and self.oov_method == "farmhash"
        return self.token_dtype is DType.STRING or hashes or self.num_oov_indices == 0

    def call(self, inputs: Any) -> Any:
        if not self._tokens:
            raise SpecError("has no vocabulary yet", hint="Call adapt or set_vocabulary first")
        wanted = DType.INT64 if self.invert else self.token_dtype
        fits = inputs.type.dtype is DType.STRING if wanted is DType.STRING else _integers(inputs)
        if not fits:
            raise SpecError(f"needs {wanted.keras_name}, got {inputs.type}")
        indices = self._invert(inputs) if self.invert else self._indices(inputs)
        return indices if self.output_mode == "int" else self.encode(indices)

    def encode(self, indices: Any) -> Any:
        """The vectors of indices, for the output modes that have them."""
        mode = "count" if self.output_mode == "tf_idf" else self.output_mode
        vectors = encode(indices, mode, self.vocabulary_size(), self.compute_dtype)
        return self.finish_vectors(vectors)

    def finish_vectors(self, vectors: Any) -> Any:
        """Counts times idf_weights if they are wanted, and zeros up to max_tokens."""
        if self.output_mode == "tf_idf":
            vectors = ops.multiply(vectors, np.asarray(self._idf, np.float32))
        if not self.pad_to_max_tokens:
            return vectors
        assert self.max_tokens is not None
        missing = self.max_tokens - self.vocabulary_size()
        return ops.pad(vectors, [(0, 0)] * (vectors.ndim - 1) + [(0, missing)])

    def _invert(self, indices: Any) -> Any:
        tokens = self._value_array([*self._special_tokens, *self._tokens])
        numbers = [*range(self._oov_start), *range(self._token_start, len(tokens))]
        keys = Literal(np.asarray(numbers, np.int64))
        return emit(Lookup(keys, Literal(tokens[numbers]), self.oov_token), indices)

    def _indices(self, inputs: Any) -> Any:
        """The index of each token; for what a vector leaves out, one behind all others."""
        places = {token: self._token_start + n for n, token in enumerate(self._tokens)}
        if self.mask_token is not None:
            places[self.mask_token] = 0 if self.output_mode == "int" else INT32.max
        default = {0: None, 1: self._oov_start}.get(self.num_oov_indices, -1)
        keys = self._key_array(list(places))
        values = np.asarray(list(places.values()), np.int32)
        found = emit(Lookup(Literal(keys), Literal(values), default), inputs)
        if default != -1:
            return found
        other = ops.add(self._bucket(inputs), self._oov_start)
        return ops.where(ops.less(found, 0), other, found)

    def _bucket(self, inputs: Any) -> Any:
        """Which of the indices for unknown tokens."""
        number = self.num_oov_indices
        if self.token_dtype is DType.STRING or self.oov_method == "farmhash":
            return emit(HashBucket(number, self.salt), inputs)
        return ops.cast(ops.mod(inputs, number), "int32")

    def _key_array(self, tokens: list[Any]) -> np.ndarray[Any, Any]:
        return np.asarray(tokens, self.token_dtype.numpy)

    def _value_array(self, tokens: list[Any]) -> np.ndarray[Any, Any]:
        return self._key_array(tokens)

    # Configs and files

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        size = self.vocabulary_size() if self._tokens else None
        return {**config, "vocabulary_size": size}

    @classmethod
    def from_config(cls, config: Any) -> Any:
        """As for all layers; a config names no file.

        Raises:
            FormatError: it does, or its vocabulary has another size than it says.
        """
        layer = super().from_config(without_file(cls.__name__, config))
        return with_size(layer, config)

    def save_assets(self, dir_path: Any) -> None:
        """Write `vocabulary.txt` unless the config has the vocabulary that was given.

        Raises:
            FormatError: a token has a line break, which ends a token in the file.
        """
        if self._given[0] is not None:
            return
        tokens = [str(token) for token in self.get_vocabulary()]
        broken = [token for token in tokens if "\n" in token]
        if broken:
            raise FormatError(
                f"the token {broken[0]!r} of layer '{self.name}' has a line break, and"
                " vocabulary.txt has one token in each line",
                hint="Give the vocabulary as a list, which the config keeps",
            )
        path = Path(dir_path, "vocabulary.txt")
        path.write_text("\n".join(tokens), encoding="utf-8", newline="")

    def load_assets(self, dir_path: Any) -> None:
        """Read what `save_assets` wrote."""
        if self._given[0] is not None:
            return
        lines = _read_lines(Path(dir_path, "vocabulary.txt").read_bytes())
        weights = self._idf if self.output_mode == "tf_idf" else None
        self.set_vocabulary(lines, weights)


def _read_lines(text: bytes) -> list[str]:
    """The lines of a text file, between which there are line feeds and nothing else."""
    return text.decode("utf-8").split("\n") if text else []


def without_file(what: str, config: Any) -> dict[str, Any]:
    """The arguments in the config of a layer with a vocabulary.

    Raises:
        FormatError: the vocabulary is the path of a file, which a config may not make us read.
    """
    if isinstance(config.get("vocabulary"), str):
        raise FormatError(
            f"the config of {what} names a file for the vocabulary, which is not read",
            hint="Give the tokens as a list, or call set_vocabulary with the path",
        )
    return {key: value for key, value in config.items() if key != "vocabulary_size"}


def with_size(layer: Any, config: Any) -> Any:
    """The layer that was made from a config, whose vocabulary has the size that this says.

    Raises:
        FormatError: it has another.
    """
    wanted = config.get("vocabulary_size")
    if wanted is not None and config.get("vocabulary") and layer.vocabulary_size() != wanted:
        raise FormatError(
            f"the config of '{layer.name}' says vocabulary_size={wanted}, and its vocabulary makes"
            f" {layer.vocabulary_size()}"
        )
    return layer


def _listed(values: Any) -> list[Any] | None:
    return None if values is None else np.asarray(values, object).ravel().tolist()


def _integers(x: Any) -> bool:
    return bool(x.type.dtype.is_integer)


def _key(salt: Any, where: str) -> tuple[int, int] | None:
    """Two numbers, or one twice.

    Raises:
        SpecError: it is neither.
    """
    if salt is None:
        return None
    pair = (salt, salt) if isinstance(salt, int) else tuple(salt)
    if len(pair) != 2 or any(not isinstance(word, int) for word in pair):
        raise SpecError(f"salt is an integer or two of them, got {salt!r}", where=where)
    return pair
