"""Layers, by Keras's names."""

from kcompile.layers.activation import ELU, LeakyReLU, ReLU, Softmax
from kcompile.layers.adaptive import (
    AdaptiveAveragePooling1D,
    AdaptiveAveragePooling2D,
    AdaptiveAveragePooling3D,
    AdaptiveMaxPooling1D,
    AdaptiveMaxPooling2D,
    AdaptiveMaxPooling3D,
)
from kcompile.layers.attention import AdditiveAttention, Attention
from kcompile.layers.augmentation.color import (
    RandomBrightness,
    RandomColorDegeneration,
    RandomColorJitter,
    RandomContrast,
    RandomGrayscale,
    RandomHue,
    RandomSaturation,
)
from kcompile.layers.augmentation.geometry import (
    RandomCrop,
    RandomElasticTransform,
    RandomFlip,
    RandomPerspective,
    RandomRotation,
    RandomShear,
    RandomTranslation,
    RandomZoom,
)
from kcompile.layers.augmentation.histogram import (
    AutoContrast,
    ContrastLimitedAdaptiveHistogramEqualization,
    Equalization,
)
from kcompile.layers.augmentation.mixing import (
    CutMix,
    MixUp,
)
from kcompile.layers.augmentation.pixels import (
    RandomErasing,
    RandomGaussianBlur,
    RandomInvert,
    RandomPosterization,
    RandomSharpness,
    Solarization,
)
from kcompile.layers.augmentation.policies import (
    AugMix,
    MaxNumBoundingBoxes,
    Pipeline,
    RandAugment,
)
from kcompile.layers.base import Layer
from kcompile.layers.conv_lstm import ConvLSTM1D, ConvLSTM2D, ConvLSTM3D
from kcompile.layers.convolutional import Conv1D, Conv2D, Conv3D
from kcompile.layers.core import (
    Activation,
    Dense,
    Dropout,
    Flatten,
    Identity,
    Input,
    InputLayer,
    Permute,
    Reshape,
)
from kcompile.layers.depthwise import (
    DepthwiseConv1D,
    DepthwiseConv2D,
    SeparableConv1D,
    SeparableConv2D,
)
from kcompile.layers.discretization import Discretization
from kcompile.layers.dot import Dot, dot
from kcompile.layers.einsum import EinsumDense
from kcompile.layers.embedding import Embedding, ReversibleEmbedding
from kcompile.layers.encoding import CategoryEncoding
from kcompile.layers.functions import Lambda
from kcompile.layers.hashing import HashedCrossing, Hashing
from kcompile.layers.input_spec import InputSpec
from kcompile.layers.jax_layer import JaxLayer
from kcompile.layers.lookup import IntegerLookup, StringLookup
from kcompile.layers.masking import Masking
from kcompile.layers.merging import (
    Add,
    Average,
    Concatenate,
    Maximum,
    Minimum,
    Multiply,
    Subtract,
    add,
    average,
    concatenate,
    maximum,
    minimum,
    multiply,
    subtract,
)
from kcompile.layers.multi_head_attention import GroupedQueryAttention, MultiHeadAttention
from kcompile.layers.noise import (
    ActivityRegularization,
    AlphaDropout,
    GaussianDropout,
    GaussianNoise,
    SpatialDropout1D,
    SpatialDropout2D,
    SpatialDropout3D,
)
from kcompile.layers.normalization import BatchNormalization
from kcompile.layers.pooling import (
    AveragePooling1D,
    AveragePooling2D,
    AveragePooling3D,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalAveragePooling3D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    GlobalMaxPooling3D,
    MaxPooling1D,
    MaxPooling2D,
    MaxPooling3D,
)
from kcompile.layers.prelu import PReLU
from kcompile.layers.recurrent import RNN, StackedRNNCells
from kcompile.layers.recurrent_cells import GRUCell, LSTMCell, SimpleRNNCell
from kcompile.layers.recurrent_layers import GRU, LSTM, SimpleRNN
from kcompile.layers.reshaping import (
    Cropping1D,
    Cropping2D,
    Cropping3D,
    RepeatVector,
    ZeroPadding1D,
    ZeroPadding2D,
    ZeroPadding3D,
)
from kcompile.layers.resizing import (
    CenterCrop,
    Rescaling,
    Resizing,
    UpSampling1D,
    UpSampling2D,
    UpSampling3D,
)
from kcompile.layers.sample_normalization import (
    GroupNormalization,
    LayerNormalization,
    RMSNormalization,
    UnitNormalization,
)
from kcompile.layers.serialization import deserialize, serialize
from kcompile.layers.spectral import MelSpectrogram, STFTSpectrogram
from kcompile.layers.spectral_normalization import SpectralNormalization
from kcompile.layers.standardization import Normalization
from kcompile.layers.text_vectorization import TextVectorization
from kcompile.layers.transposed import Conv1DTranspose, Conv2DTranspose, Conv3DTranspose
from kcompile.layers.wrappers import Bidirectional, TimeDistributed, Wrapper
from kcompile.ops.missing import missing

Convolution1D, Convolution2D, Convolution3D = Conv1D, Conv2D, Conv3D
Convolution1DTranspose = Conv1DTranspose
Convolution2DTranspose = Conv2DTranspose
Convolution3DTranspose = Conv3DTranspose
SeparableConvolution1D, SeparableConvolution2D = SeparableConv1D, SeparableConv2D
GroupQueryAttention = GroupedQueryAttention
MaxPool1D, MaxPool2D, MaxPool3D = MaxPooling1D, MaxPooling2D, MaxPooling3D
AvgPool1D, AvgPool2D, AvgPool3D = AveragePooling1D, AveragePooling2D, AveragePooling3D
GlobalAvgPool1D, GlobalAvgPool2D, GlobalAvgPool3D = (
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalAveragePooling3D,
)
GlobalMaxPool1D, GlobalMaxPool2D, GlobalMaxPool3D = (
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    GlobalMaxPooling3D,
)

_FRAMEWORK = "write it with kcompile's layers, or as a JAX function in layers.JaxLayer"
FlaxLayer = missing(
    "layers.FlaxLayer", "give module.apply and module.init to layers.JaxLayer, which needs no Flax"
)
TFSMLayer = missing("layers.TFSMLayer", f"TensorFlow is not installed; {_FRAMEWORK}")
TorchModuleWrapper = missing(
    "layers.TorchModuleWrapper", f"PyTorch's code does not run on XLA; {_FRAMEWORK}"
)

#: Layers that are Python code of the user's, which no file holds.
_CODE = (Layer, Lambda, JaxLayer)
#: The closed table in which class names of files are looked up.
LAYERS: dict[str, type[Layer]] = {
    name: value
    for name, value in globals().items()
    if isinstance(value, type) and issubclass(value, Layer) and value not in _CODE
}

__all__ = [
    "Activation",
    "ActivityRegularization",
    "AdaptiveAveragePooling1D",
    "AdaptiveAveragePooling2D",
    "AdaptiveAveragePooling3D",
    "AdaptiveMaxPooling1D",
    "AdaptiveMaxPooling2D",
    "AdaptiveMaxPooling3D",
    "Add",
    "AdditiveAttention",
    "AlphaDropout",
    "Attention",
    "AugMix",
    "AutoContrast",
    "Average",
    "AveragePooling1D",
    "AveragePooling2D",
    "AveragePooling3D",
    "AvgPool1D",
    "AvgPool2D",
    "AvgPool3D",
    "BatchNormalization",
    "Bidirectional",
    "CategoryEncoding",
    "CenterCrop",
    "Concatenate",
    "ContrastLimitedAdaptiveHistogramEqualization",
    "Conv1D",
    "Conv1DTranspose",
    "Conv2D",
    "Conv2DTranspose",
    "Conv3D",
    "Conv3DTranspose",
    "ConvLSTM1D",
    "ConvLSTM2D",
    "ConvLSTM3D",
    "Convolution1D",
    "Convolution1DTranspose",
    "Convolution2D",
    "Convolution2DTranspose",
    "Convolution3D",
    "Convolution3DTranspose",
    "Cropping1D",
    "Cropping2D",
    "Cropping3D",
    "CutMix",
    "Dense",
    "DepthwiseConv1D",
    "DepthwiseConv2D",
    "Discretization",
    "Dot",
    "Dropout",
    "ELU",
    "EinsumDense",
    "Embedding",
    "Equalization",
    "FlaxLayer",
    "Flatten",
    "GRU",
    "GRUCell",
    "GaussianDropout",
    "GaussianNoise",
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalAveragePooling3D",
    "GlobalAvgPool1D",
    "GlobalAvgPool2D",
    "GlobalAvgPool3D",
    "GlobalMaxPool1D",
    "GlobalMaxPool2D",
    "GlobalMaxPool3D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "GlobalMaxPooling3D",
    "GroupNormalization",
    "GroupQueryAttention",
    "HashedCrossing",
    "Hashing",
    "Identity",
    "Input",
    "InputLayer",
    "InputSpec",
    "IntegerLookup",
    "JaxLayer",
    "LAYERS",
    "LSTM",
    "LSTMCell",
    "Lambda",
    "Layer",
    "LayerNormalization",
    "LeakyReLU",
    "Masking",
    "MaxNumBoundingBoxes",
    "MaxPool1D",
    "MaxPool2D",
    "MaxPool3D",
    "MaxPooling1D",
    "MaxPooling2D",
    "MaxPooling3D",
    "Maximum",
    "MelSpectrogram",
    "Minimum",
    "MixUp",
    "MultiHeadAttention",
    "Multiply",
    "Normalization",
    "PReLU",
    "Permute",
    "Pipeline",
    "RMSNormalization",
    "RNN",
    "RandAugment",
    "RandomBrightness",
    "RandomColorDegeneration",
    "RandomColorJitter",
    "RandomContrast",
    "RandomCrop",
    "RandomElasticTransform",
    "RandomErasing",
    "RandomFlip",
    "RandomGaussianBlur",
    "RandomGrayscale",
    "RandomHue",
    "RandomInvert",
    "RandomPerspective",
    "RandomPosterization",
    "RandomRotation",
    "RandomSaturation",
    "RandomSharpness",
    "RandomShear",
    "RandomTranslation",
    "RandomZoom",
    "ReLU",
    "RepeatVector",
    "Rescaling",
    "Reshape",
    "Resizing",
    "ReversibleEmbedding",
    "STFTSpectrogram",
    "SeparableConv1D",
    "SeparableConv2D",
    "SeparableConvolution1D",
    "SeparableConvolution2D",
    "SimpleRNN",
    "SimpleRNNCell",
    "Softmax",
    "Solarization",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
    "SpectralNormalization",
    "StackedRNNCells",
    "StringLookup",
    "Subtract",
    "TFSMLayer",
    "TextVectorization",
    "TimeDistributed",
    "TorchModuleWrapper",
    "UnitNormalization",
    "UpSampling1D",
    "UpSampling2D",
    "UpSampling3D",
    "Wrapper",
    "ZeroPadding1D",
    "ZeroPadding2D",
    "ZeroPadding3D",
    "add",
    "average",
    "concatenate",
    "deserialize",
    "dot",
    "maximum",
    "minimum",
    "multiply",
    "serialize",
    "subtract",
]
