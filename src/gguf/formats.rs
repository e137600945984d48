//! Names of the tensor types that GGUF has numbers for, so that a refusal can name the one found.

/// In the order of their numbers, from 0; a dash stands for those withdrawn before GGUF existed.
const NAMES: &str = "F32 F16 Q4_0 Q4_1 - - Q5_0 Q5_1 Q8_0 Q8_1 Q2_K Q3_K Q4_K Q5_K Q6_K Q8_K \
    IQ2_XXS IQ2_XS IQ3_XXS IQ1_S IQ4_NL IQ3_S IQ2_S IQ4_XS I8 I16 I32 I64 F64 IQ1_M BF16 Q4_0_4_4 \
    Q4_0_4_8 Q4_0_8_8 TQ1_0 TQ2_0 IQ4_NL_4_4 IQ4_NL_4_8 IQ4_NL_8_8 MXFP4 NVFP4 Q1_0";

/// The name of a tensor type, or its number where it has none.
pub(super) fn name(gguf_type: u32) -> String {
    match NAMES.split(' ').nth(gguf_type as usize) {
        Some(name) if name != "-" => name.into(),
        _ => format!("of the unknown type {gguf_type}"),
    }
}

#[cfg(test)]
mod tests {
    use gatefold_quant::FORMATS;

    #[test]
    fn the_registry_agrees() {
        for format in FORMATS {
            assert_eq!(super::name(format.gguf_type), format.name);
        }
    }
}
