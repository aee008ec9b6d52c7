"""What Olive's files name and this engine does not have, and why: so that a name that is right elsewhere is no typo.

Names are those of microsoft/Olive from v0.4 to August 2026.
"""

from __future__ import annotations

from collections.abc import Mapping

NOT_YET = "not available yet"

_VENDORS: Mapping[str, tuple[str, ...]] = {
    "Qualcomm's AI Engine or SNPE SDK": (
        *("QNNContextBinaryGenerator", "QNNConversion", "QNNModelLibGenerator", "QNNPreprocess", "QairtEncapsulation"),
        *("QairtGenAIBuilder", "QairtMHA2SHA", "QairtPipelinePass", "QairtPreparation", "SNPEConversion"),
        *("SNPEQuantization", "SNPEtoONNXConversion", "QairtConversion", "QairtQuantization"),
    ),
    "AMD's Vitis AI or Quark SDK": (
        *("VitisAIQuantization", "VitisAIAddMetaData", "VitisGenerateModelLLM", "VitisGenerateModelSD"),
        *("QuarkQuantization", "QuarkQuantizationVitisAI", "RyzenGenerateModelLLM", "VitisQDQQuantizer"),
    ),
    "Intel's OpenVINO toolkit": (
        *("OpenVINOConversion", "OpenVINOEncapsulation", "OpenVINOIoUpdate", "OpenVINOOptimumConversion"),
        *("OpenVINOQuantization", "OpenVINOQuantizationWithAccuracy", "OpenVINOWeightCompression"),
    ),
    "Intel's Neural Compressor": (
        *("IncQuantization", "IncDynamicQuantization", "IncStaticQuantization"),
        "NeuralCompressorQuantization",
    ),
    "NVIDIA's ModelOpt or TensorRT": (
        *("NVModelOptQuantization", "NVModelOptGraphSurgery", "TorchTRTConversion", "TrtMatMulToConvTransform"),
    ),
    "Qualcomm's AIMET": ("AimetQuantization",),
}
_PENDING = (
    *("AddOliveMetadata", "AppendPrePostProcessingOps", "AutoAWQQuantizer", "AutoClip", "CaptureLayerAnnotations"),
    *("CaptureSplitInfo", "ComposeOnnxModels", "ConvertHfToGGUF", "DoRA", "DynamicToFixedShape"),
    *("EPContextBinaryGenerator", "ExtractAdapters", "Gptq", "GptqModel", "GptqQuantizer", "GraphSurgeries"),
    *("InputNCHWtoNHWC", "InsertBeamSearch", "KQuant", "LoHa", "LoKr", "LoftQ", "MatMulNBitsToQDQ"),
    *("MixedPrecisionOverrides", "MobiusBuilder", "MoEExpertsDistributor", "OnnxBlockWiseRtnQuantization"),
    *("OnnxBnb4Quantization", "OnnxConversion", "OnnxDiscrepancyCheck", "OnnxDynamicQuantization"),
    *("OnnxFloatToFloat16", "OnnxHqqQuantization", "OnnxIODataTypeConverter", "OnnxIOFloat16ToFloat32"),
    *("OnnxKQuantQuantization", "OnnxMatMul4Quantizer", "OnnxModelOptimizer", "OnnxOpVersionConversion"),
    *("OnnxPeepholeOptimizer", "OnnxQuantization", "OnnxQuantizationPreprocess", "OnnxScriptFusion"),
    *("OnnxStaticQuantization", "OptimumConversion", "OptimumMerging", "OrtMixedPrecision", "OrtPerfTuning"),
    *("OrtSessionParamsTuning", "OrtTransformersOptimization", "PyTorchTensorParallel", "QuaRot"),
    *("QuantizationAwareTraining", "Rtn", "SDLoRA", "SaveTestModelConfig", "SelectiveMixedPrecision", "SliceGPT"),
    *("SparseGPT", "SpinQuant", "SplitModel", "StaticLLM", "AutoFusion", "PyTorchPipelineParallel", "Sharding"),
)

PASSES: Mapping[str, str] = {
    **{name.lower(): f"not available: needs {sdk}" for sdk, names in _VENDORS.items() for name in names},
    **{name.lower(): NOT_YET for name in _PENDING},
    "aitkpython": "not available: it runs a script of your own",
}
"""Type of a pass, in lower case -> why it cannot be had."""

SYSTEMS: Mapping[str, str] = {
    **dict.fromkeys(("surfaceprosystem1796", "surfaceprosystem1807"), "not available: a LocalSystem says the same"),
    "isolatedort": "not available: a PythonEnvironment is an environment of its own",
}

MODELS: Mapping[str, str] = {
    **dict.fromkeys(
        ("compositemodel", "compositeonnxmodel", "distributedonnxmodel", "distributedpytorchmodel"), NOT_YET
    ),
    **dict.fromkeys(("compositepytorchmodel", "diffusersmodel", "tensorflowmodel"), NOT_YET),
    "openvinomodel": "not available: needs Intel's OpenVINO toolkit",
    **dict.fromkeys(
        ("qnnmodel", "snpemodel", "qairtmodel", "qairtpreparedmodel", "qairtcontainermodel"),
        "not available: needs Qualcomm's AI Engine or SNPE SDK",
    ),
    "pytorchmodel": "not available: a model that code of your own makes; save it as a Hugging Face folder",
}

METRICS: Mapping[str, str] = {"custom": "a metric that code of your own measures is not available yet"}
