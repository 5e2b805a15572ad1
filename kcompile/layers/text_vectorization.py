"""Texts to indices of their words, or to vectors of counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import kcompile.ops as ops
from kcompile.ir.errors import SpecError
from kcompile.ir.literal import Literal
from kcompile.ir.ops import AsciiLower, CountTokens, RemoveCharacters, SplitString
from kcompile.ir.ops.strings import Tokens
from kcompile.ir.text import text_array
from kcompile.ir.types import DType
from kcompile.layers.base import Layer
from kcompile.layers.encoding import check_mode
from kcompile.layers.index_lookup import with_size, without_file
from kcompile.layers.lookup import StringLookup, strings_as_array
from kcompile.ops.limits import check_numbers
from kcompile.ops.trace import emit

PUNCTUATION = "!\"#$%&()*+,-./:;<=>?@[\\]^_`{|}~'"
_STANDARDS = {
    "lower_and_strip_punctuation": (AsciiLower(), RemoveCharacters(PUNCTUATION)),
    "lower": (AsciiLower(),),
    "strip_punctuation": (RemoveCharacters(PUNCTUATION),),
    None: (),
}
_MODES = ("int", "multi_hot", "count", "tf_idf")


class TextVectorization(Layer):
    """Strings `[N]` or `[N, 1]` to indices `[N, output_sequence_length]`, or vectors `[N, depth]`.

    A text is brought to a standard form, split into words, and these into n-grams; each is looked
    up in the vocabulary. Index 0 fills up a row, 1 is for what is not in the vocabulary. Vectors
    have no place for the first of them.
    """

    uses_host = True
    inert_config = {"vocabulary_size": (None,)}

    def __init__(
        self,
        max_tokens: int | None = None,
        standardize: str | None = "lower_and_strip_punctuation",
        split: str | None = "whitespace",
        ngrams: int | Sequence[int] | None = None,
        output_mode: str = "int",
        output_sequence_length: int | None = None,
        pad_to_max_tokens: bool = False,
        vocabulary: Any = None,
        idf_weights: Any = None,
        sparse: bool = False,
        ragged: bool = False,
        encoding: str = "utf-8",
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        is_static = kwargs.pop("has_input_vocabulary", vocabulary is not None)
        super().__init__(name=name, **kwargs)
        where = f"layer '{self.name}'"
        self._first_dtype = "string"
        for what, value in (("standardize", standardize), ("split", split)):
            if callable(value):
                raise NotImplementedError(
                    f"{where}: {what} as a function is not there: it would not be exported"
                )
        if ragged:
            raise NotImplementedError(f"{where}: ragged=True is not there: tensors are dense")
        if standardize not in _STANDARDS:
            raise SpecError(f"standardize={standardize!r} is not known", where=where)
        if split not in ("whitespace", "character", None):
            raise SpecError(f"split={split!r} is not known", where=where)
        if output_mode == "one_hot":
            raise NotImplementedError(f"{where}: output_mode='one_hot' is not there for texts")
        self.standardize = standardize
        self.split = split
        self.ngrams = ngrams if ngrams is None or isinstance(ngrams, int) else tuple(ngrams)
        self.output_mode = check_mode(output_mode, _MODES, where)
        self.output_sequence_length = output_sequence_length
        self.ragged = ragged
        self.encoding = encoding
        self._check_length(where)
        self._lookup_layer = StringLookup(
            max_tokens=max_tokens,
            vocabulary=vocabulary,
            idf_weights=idf_weights,
            pad_to_max_tokens=pad_to_max_tokens,
            mask_token="",
            output_mode=self.output_mode,
            sparse=sparse,
            encoding=encoding,
            name=self.name,
            has_input_vocabulary=is_static,
        )
        # It is a part of this layer's call, not called itself, and has no weights to make.
        self._lookup_layer.built = True

    def _check_length(self, where: str) -> None:
        length = self.output_sequence_length
        if self.output_mode != "int":
            if length is not None:
                raise SpecError("output_sequence_length is for output_mode='int'", where=where)
        elif length is None and self.split is not None:
            raise NotImplementedError(
                f"{where}: output_mode='int' without output_sequence_length is not there: the"
                " longest text would give the size. Give output_sequence_length"
            )
        if self.split is None and self.ngrams is not None:
            raise NotImplementedError(f"{where}: n-grams without a split are not there")

    # The vocabulary is that of a StringLookup

    @property
    def max_tokens(self) -> int | None:
        return self._lookup_layer.max_tokens

    @property
    def pad_to_max_tokens(self) -> bool:
        return self._lookup_layer.pad_to_max_tokens

    @property
    def sparse(self) -> bool:
        return self._lookup_layer.sparse

    @property
    def vocabulary(self) -> Any:
        return self._lookup_layer.vocabulary

    @property
    def idf_weights(self) -> Any:
        return self._lookup_layer.idf_weights

    def get_vocabulary(self, include_special_tokens: bool = True) -> list[str]:
        """The tokens by index; "" stands for index 0 of `output_mode="int"`."""
        return self._lookup_layer.get_vocabulary(include_special_tokens)

    def vocabulary_size(self) -> int:
        """How many indices there are, special ones included."""
        return self._lookup_layer.vocabulary_size()

    def set_vocabulary(self, vocabulary: Any, idf_weights: Any = None) -> None:
        """Set the tokens; see `StringLookup.set_vocabulary`."""
        self._lookup_layer.set_vocabulary(vocabulary, idf_weights)

    def adapt(self, data: Any, batch_size: int | None = None, steps: int | None = None) -> None:
        """Make the most frequent tokens of the texts the vocabulary; of equal ones the greater.

        Args:
            data: an array or list of texts, or an iterable of batches, which are arrays.
            batch_size: accepted as in Keras; it changes nothing.
            steps: how many batches to take; all by default.

        Raises:
            SpecError: the vocabulary was given to the layer.
        """
        del batch_size
        self.reset_state()
        if isinstance(data, (list, tuple)) or hasattr(data, "shape"):
            self.update_state(data)
        else:
            for number, batch in enumerate(data):
                if number == steps:
                    break
                self.update_state(batch)
        self.finalize_state()

    def reset_state(self) -> None:
        """Forget the data seen."""
        self._lookup_layer.reset_state()

    def update_state(self, data: Any) -> None:
        """Take a batch of texts into account."""
        texts = text_array(np.asarray(data, object))
        for op in _STANDARDS[self.standardize]:
            texts = op.reference(texts)
        if self.split is None:
            self._lookup_layer.update_state(texts)
        else:
            self._lookup_layer.count(map(self._tokens.of, texts.ravel().tolist()))

    def finalize_state(self) -> None:
        """Make the vocabulary of the data seen."""
        self._lookup_layer.finalize_state()

    # What it computes

    @property
    def _tokens(self) -> Tokens:
        check_numbers(self.ngrams if isinstance(self.ngrams, int) else 0)
        widths = tuple(range(1, self.ngrams + 1)) if isinstance(self.ngrams, int) else self.ngrams
        return Tokens(self.split or "whitespace", widths or ())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return super().__call__(*map(strings_as_array, args), **kwargs)

    def call(self, inputs: Any) -> Any:
        texts = inputs
        if texts.type.dtype is not DType.STRING:
            raise SpecError(f"needs strings, got {texts.type}")
        if not self._lookup_layer.get_vocabulary(False):
            raise SpecError("has no vocabulary yet", hint="Call adapt or set_vocabulary first")
        if self.split is not None:
            texts = self._one_per_row(texts)
        for op in _STANDARDS[self.standardize]:
            texts = emit(op, texts)
        if self.split is None:
            return self._unsplit(texts)
        tokens = self._tokens
        if self.output_mode == "int":
            assert self.output_sequence_length is not None
            words = SplitString(self.output_sequence_length, tokens.separator, tokens.ngrams)
            return self._lookup_layer.call(emit(words, texts))
        vocabulary = Literal(np.asarray(self.get_vocabulary(False), object))
        counts = emit(CountTokens(vocabulary, tokens.separator, tokens.ngrams), texts)
        if self.output_mode == "multi_hot":
            counts = ops.minimum(counts, 1.0)
        return self._lookup_layer.finish_vectors(counts)

    @staticmethod
    def _one_per_row(texts: Any) -> Any:
        if texts.ndim == 2 and texts.shape[1] == 1:
            return ops.squeeze(texts, 1)
        if texts.ndim != 1:
            raise SpecError(
                f"needs one text in each row, got {texts.type}",
                hint="Give it the shape [N] or [N, 1]",
            )
        return texts

    def _unsplit(self, texts: Any) -> Any:
        """Each string is a token: `[N, K]`."""
        if texts.ndim < 2:
            raise SpecError(f"split=None needs tokens [N, K], got {texts.type}")
        result = self._lookup_layer.call(texts)
        length = self.output_sequence_length
        if self.output_mode != "int" or length is None:
            return result
        size = texts.shape[-1]
        if size is None:
            raise SpecError("output_sequence_length needs a number of tokens that is known")
        if size >= length:
            return result[..., :length]
        return ops.pad(result, [(0, 0)] * (texts.ndim - 1) + [(0, length - size)])

    # Configs and files

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "vocabulary_size": self.vocabulary_size()}

    @classmethod
    def from_config(cls, config: Any) -> Any:
        """As for all layers; a config names no file.

        Raises:
            FormatError: it does, or its vocabulary has another size than it says.
        """
        layer = super().from_config(without_file(cls.__name__, config))
        return with_size(layer, config)

    def save_assets(self, dir_path: Any) -> None:
        """Write `vocabulary.txt` unless the config has the vocabulary that was given."""
        self._lookup_layer.save_assets(dir_path)

    def load_assets(self, dir_path: Any) -> None:
        """Read what `save_assets` wrote."""
        self._lookup_layer.load_assets(dir_path)
