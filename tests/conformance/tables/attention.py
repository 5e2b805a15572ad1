"""Attention, normalization and einsum layers."""

from __future__ import annotations

from tests.conformance.case import case, listed

SCORES = {"return_attention_scores": True}
CAUSAL = {"use_causal_mask": True}
MHA, GQA = "MultiHeadAttention", "GroupQueryAttention"
Q, V, K = (3, 6), (5, 4), (5, 7)
SEEN = {"attention_mask": (3, 5)}
STEPS = {"mask__0": (3,), "mask__1": (5,)}

NORMALIZATIONS = [
    case("LayerNormalization", (5,)),
    case("LayerNormalization", (3, 4), axis=[1, 2], center=False),
    case("LayerNormalization", (3, 4), axis=1, scale=False),
    case("LayerNormalization", (3, 1, 2), axis=(-1, 1), epsilon=0.1),
    case("LayerNormalization", (None, 4), gamma_initializer="zeros"),
    case("LayerNormalization", (1,), center=False, scale=False),
    case("RMSNormalization", (5,)),
    case("RMSNormalization", (3, 4), axis=(1, 2), epsilon=0.1),
    case("RMSNormalization", (None, 4, 3), axis=3),
    case("RMSNormalization", (4, 4), axis=1),
    case("GroupNormalization", (4,), groups=2),
    case("GroupNormalization", (3, 5, 6), groups=3, epsilon=0.1),
    case("GroupNormalization", (4, 3, 2), groups=-1, axis=1, center=False),
    case("GroupNormalization", (None, None, 4), groups=1, scale=False),
    case("UnitNormalization", (5,)),
    case("UnitNormalization", (3, 4), axis=1),
    case("UnitNormalization", (None, 4), axis=[1, 2]),
    case("Normalization", (4,)),
    case("Normalization", (3, 4), axis=(1, 2), invert=True),
    case("Normalization", (3, 4), axis=None, mean=0.5, variance=2.0),
    case("Normalization", (3, 4), axis=(1, 2), mean=[1.0, 2.0, 3.0, 4.0], variance=[0.0, 1, 2, 3]),
    case("Normalization", (None, 2), mean=[1.0, -1.0], variance=[4.0, 0.25], invert=True),
]
EINSUMS = [
    case("EinsumDense", (4,), equation="ab,bc->ac", output_shape=3),
    case("EinsumDense", (3, 4), equation="abc,cd->abd", output_shape=(None, 5), bias_axes="d"),
    case("EinsumDense", (3, 4), equation="abc,cde->abde", output_shape=(None, 2, 3), bias_axes="d"),
    case("EinsumDense", (3, 4), equation="abc,bd->adc", output_shape=(2, 4), bias_axes="dc"),
    case("EinsumDense", (None, 4), equation="...x,xy->...y", output_shape=2, bias_axes="y"),
    case(
        "EinsumDense",
        (2, 3, 4),
        equation="...ab,bc->...ac",
        output_shape=(3, 5),
        activation="relu",
        bias_axes="a",
    ),
    case("EinsumDense", (4, 3, 1), equation="ab...,bc->ac...", output_shape=2, bias_axes="c"),
    case("EinsumDense", (3, 2, 4), equation="abcd,cde->abe", output_shape=(None, 5), bias_axes="e"),
    listed("Dot", (4,), (4,), axes=1),
    listed("Dot", (3, 4), (4, 5), axes=(2, 1)),
    listed("Dot", (3, 4), (5, 4), axes=-1, normalize=True),
    listed("Dot", (4,), (4, 3), axes=1),
    listed("Dot", (3, 4), (4,), axes=(2, 1)),
    listed("Dot", (2, 3, 4), (5, 3), axes=2),
]
ACTIVATIONS = [
    *(
        case("Activation", (3, 4), activation=name)
        for name in (
            *("celu", "glu", "hard_shrink", "hard_silu", "hard_swish", "hard_tanh", "log_sigmoid"),
            *("soft_shrink", "sparse_plus", "sparse_sigmoid", "sparsemax", "squareplus"),
            "tanh_shrink",
        )
    ),
    case("PReLU", (3, 4)),
    case("PReLU", (None, 3, 4), shared_axes=[1, 2], alpha_initializer="he_normal"),
    case("Softmax", (3, 4), axis=[1, 2]),
    case("Softmax", (3, None, 4), axis=(1, 3)),
    case("Softmax", (3, 4), tensors={"mask": (3, 4)}),
    case("Softmax", (3, 4), tensors={"mask": (1, 4)}, axis=[1, 2]),
]
PLAIN = [
    listed("Attention", (3, 4), (5, 4)),
    listed("Attention", (3, 4), (5, 6), (5, 4), call=SCORES, use_scale=True),
    listed("Attention", (3, 4), (5, 4), tensors=STEPS, call=CAUSAL),
    listed("Attention", (3, 4), (5, 4), tensors={"mask__1": (5,)}, dropout=0.5, seed=3),
    listed("Attention", (None, 4), (None, 4), call=CAUSAL, score_mode="concat"),
    listed(
        "Attention", (3, 4), (5, 4), tensors={"mask__0": (3,)}, score_mode="concat", use_scale=True
    ),
    listed("Attention", (2, 3, 4), (2, 5, 4)),
    listed("AdditiveAttention", (3, 4), (5, 4)),
    listed("AdditiveAttention", (3, 4), (5, 6), (5, 4), call={**SCORES, **CAUSAL}, use_scale=False),
    listed("AdditiveAttention", (None, 4), (5, 4), tensors={"mask__0": (None,), "mask__1": (5,)}),
]
HEADS = [
    case(MHA, Q, (5, 6), num_heads=2, key_dim=3),
    case(MHA, Q, V, K, num_heads=3, key_dim=2, use_bias=False),
    case(MHA, Q, V, K, call=SCORES, num_heads=2, key_dim=3, value_dim=4, output_shape=5),
    case(MHA, Q, V, tensors=SEEN, num_heads=2, key_dim=3),
    case(MHA, Q, V, tensors=SEEN, call={**SCORES, **CAUSAL}, num_heads=1, key_dim=1),
    case(MHA, Q, V, call=CAUSAL, num_heads=2, key_dim=3),
    case(MHA, (None, 4), (None, 4), call=CAUSAL, num_heads=2, key_dim=2),
    case(
        MHA, (None, 4), (None, 4), tensors={"attention_mask": (None, None)}, num_heads=2, key_dim=2
    ),
    case(MHA, Q, V, tensors={"attention_mask": (2, 3, 5)}, num_heads=2, key_dim=2),
    case(MHA, Q, V, tensors={"value_mask": (5,)}, num_heads=2, key_dim=3),
    case(
        MHA,
        Q,
        V,
        K,
        tensors={"value_mask": (5,), "key_mask": (5,)},
        call=CAUSAL,
        num_heads=2,
        key_dim=3,
    ),
    case(MHA, Q, V, tensors=SEEN, num_heads=2, key_dim=3, dropout=0.3, seed=1),
    case(MHA, Q, V, call=CAUSAL, num_heads=2, key_dim=3, dropout=0.3),
    case(MHA, Q, V, num_heads=2, key_dim=3, sliding_window=2, use_gate=True),
    case(MHA, Q, V, call=CAUSAL, num_heads=2, key_dim=3, sliding_window=1, output_shape=(2, 3)),
    case(MHA, (2, 3, 4), (2, 3, 4), num_heads=2, key_dim=3),
    case(MHA, (2, 3, 4), (2, 5, 4), num_heads=2, key_dim=3, attention_axes=2),
    case(
        MHA,
        (3, 2, 4),
        (5, 2, 4),
        tensors={"attention_mask": (3, 5)},
        num_heads=1,
        key_dim=3,
        attention_axes=(1,),
    ),
    case(GQA, Q, (5, 6), head_dim=3, num_query_heads=4, num_key_value_heads=2),
    case(GQA, Q, (5, 6), (5, 7), call=SCORES, head_dim=2, num_query_heads=3, num_key_value_heads=1),
    case(
        GQA,
        Q,
        (5, 6),
        call=CAUSAL,
        tensors=SEEN,
        head_dim=2,
        num_query_heads=2,
        num_key_value_heads=2,
    ),
    case(
        GQA, (None, 4), (None, 4), call=CAUSAL, head_dim=2, num_query_heads=2, num_key_value_heads=1
    ),
    case(
        GQA,
        Q,
        (5, 6),
        head_dim=3,
        num_query_heads=2,
        num_key_value_heads=1,
        use_gate=True,
        use_bias=False,
        dropout=0.2,
    ),
    case(
        GQA,
        Q,
        (5, 6),
        tensors={"value_mask": (5,)},
        head_dim=3,
        num_query_heads=2,
        num_key_value_heads=1,
        sliding_window=3,
    ),
]
CASES = [*NORMALIZATIONS, *EINSUMS, *ACTIVATIONS, *PLAIN, *HEADS]
