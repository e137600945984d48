//! What lies in a folder that is no checkpoint for gatefold, told from its files: for a message that
//! says what to do. A folder that can be read is read, whatever else its files say.

use super::error::{CheckpointError, Foreign, Problem};
use super::folder::Folder;
use super::hugging_face::CONFIG;
use super::json::JsonObject;
use super::stored::StoredTensors;
use crate::text::shortened;

/// The file that comes with an adapter.
const ADAPTER: &str = "adapter_config.json";

/// The names of quantizations in `quant_method`, and how people write them.
const METHODS: [(&str, &str); 10] = [
    ("gptq", "GPTQ"),
    ("awq", "AWQ"),
    ("exl2", "EXL2"),
    ("exl3", "EXL3"),
    ("hqq", "HQQ"),
    ("aqlm", "AQLM"),
    ("eetq", "EETQ"),
    ("fp8", "FP8"),
    ("fbgemm_fp8", "FP8 of FBGEMM"),
    ("mxfp4", "MXFP4"),
];

/// Files that say how their folder was quantized.
const FILES_OF_METHODS: [(&str, &str); 2] =
    [("quantize_config.json", "GPTQ"), ("quant_config.json", "AWQ")];

/// Ends of names of tensors that quantizations have in place of weights.
const ENDS_OF_METHODS: [(&str, &str); 6] = [
    (".g_idx", "GPTQ"),
    (".qweight", "GPTQ or AWQ"),
    (".q_weight", "EXL2"),
    (".absmax", "bitsandbytes"),
    (".SCB", "bitsandbytes"),
    (".weight_packed", "compressed-tensors"),
];

/// Ends of names of files, and the programs that run them.
const FILES_OF_PROGRAMS: [(&str, &str); 6] = [
    (".onnx", "ONNX Runtime"),
    ("flax_model.msgpack", "Flax"),
    ("tf_model.h5", "TensorFlow"),
    (".npz", "MLX"),
    (".nemo", "NeMo"),
    ("openvino_model.bin", "OpenVINO"),
];

/// The error, or in its place what the folder holds: that is the reason where files of weights, or
/// the `stored` tensors, are not as they should be.
pub(super) fn explained(
    folder: &Folder,
    stored: &StoredTensors,
    error: CheckpointError,
) -> CheckpointError {
    let CheckpointError::File { problem, .. } = &error else { return error };
    let is_of_weights = matches!(
        **problem,
        Problem::NotACheckpoint(_)
            | Problem::NoWeights { .. }
            | Problem::Unknown { .. }
            | Problem::MissingTensor { .. }
            | Problem::NumberType { .. }
            | Problem::Shape { .. }
    );
    match recognized(folder, stored).filter(|_| is_of_weights) {
        Some(foreign) => folder.problem(foreign),
        None => error,
    }
}

fn recognized(folder: &Folder, stored: &StoredTensors) -> Option<Foreign> {
    // What cannot be read says nothing.
    let settings = |name| folder.settings(name).ok();
    let (config, has_tensors) = (settings(CONFIG)?, !stored.tensors.is_empty());
    let is_adapter = stored.tensors.keys().any(|name| name.contains(".lora_"));
    if folder.has(ADAPTER) && (is_adapter || !has_tensors) {
        return Some(Foreign::Adapter {
            base: text(&settings(ADAPTER)?, "base_model_name_or_path"),
        });
    }
    if let Some((kind, told_from)) = quantization(folder, &config, stored) {
        return Some(Foreign::Quantized { kind, told_from, base: base_of_quantized(&config) });
    }
    if has_tensors {
        return None;
    }
    let named = |end: &str| folder.names().find(|name| name.ends_with(end)).map(str::to_owned);
    if let Some(file) = named(".gguf") {
        return Some(Foreign::Ggufs { file });
    }
    let programs = FILES_OF_PROGRAMS.into_iter();
    let mut found = programs.filter_map(|(end, program)| Some((named(end)?, program)));
    found.next().map(|(file, program)| Foreign::OtherProgram { file, program })
}

/// How the weights were quantized, and what tells it.
fn quantization(
    folder: &Folder,
    config: &JsonObject,
    stored: &StoredTensors,
) -> Option<(String, &'static str)> {
    const QUANTIZATION: &str = "quantization_config";
    if let Ok(Some(quantization)) = config.object(QUANTIZATION)
        && let Some(method) = text(&quantization, "quant_method")
    {
        let known = METHODS.iter().find(|(name, _)| *name == method);
        let kind = known.map_or_else(|| shortened(&method), |(_, kind)| (*kind).to_owned());
        return Some((kind, "quantization_config in config.json"));
    }
    if let Some((file, kind)) = FILES_OF_METHODS.iter().find(|(file, _)| folder.has(file)) {
        return Some(((*kind).to_owned(), file));
    }
    // MLX writes how it quantized under this name.
    if config.get("quantization").is_some_and(|value| value.get("bits").is_some()) {
        return Some(("MLX".to_owned(), "quantization in config.json"));
    }
    let has = |end: &str| stored.tensors.keys().any(|name| name.ends_with(end));
    let end = ENDS_OF_METHODS.iter().find(|(end, _)| has(end));
    end.map(|(_, kind)| ((*kind).to_owned(), "the names of its tensors"))
}

/// The model that a quantized one was made from: a name of the hub, not a path on somebody's disk.
fn base_of_quantized(config: &JsonObject) -> Option<String> {
    let base = text(config, "_name_or_path")?;
    let is_name = base.split('/').count() == 2 && !base.starts_with(['/', '.', '~']);
    (is_name && !base.ends_with('/')).then_some(base)
}

fn text(settings: &JsonObject, key: &str) -> Option<String> {
    settings.str(key).ok().flatten().filter(|text| !text.is_empty()).map(shortened)
}
