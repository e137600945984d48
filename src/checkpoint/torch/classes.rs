//! The classes and functions that a pickle of tensors may name. Each is known here as data; none is
//! the Python one, and there is no other.

/// A class or function that a pickle may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Class {
    /// Module and name.
    pub name: &'static str,
    /// What it is for.
    pub role: Role,
}

/// What a class or function is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A dictionary that keeps its order.
    Dict,
    /// Makes a tensor of a storage, an offset, sizes and strides.
    RebuildTensor,
    /// Makes a tensor of a tensor and facts about its training.
    RebuildParameter,
    /// Numbers of this type.
    Storage(ScalarType),
}

/// The type of a tensor's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ScalarType {
    /// PyTorch's name: `float16`.
    pub name: &'static str,
    /// Bytes per number.
    pub n_bytes: u64,
    /// The format of such weights, if models have them.
    pub format: Option<&'static str>,
}

impl Class {
    /// Finds `module.name`, if it is known.
    pub fn named(module: &str, name: &str) -> Option<Class> {
        let qualified = format!("{module}.{name}");
        KNOWN.iter().copied().find(|class| class.name == qualified)
    }
}

const KNOWN: &[Class] = &[
    Class { name: "collections.OrderedDict", role: Role::Dict },
    Class { name: "torch._utils._rebuild_tensor_v2", role: Role::RebuildTensor },
    Class { name: "torch._utils._rebuild_parameter", role: Role::RebuildParameter },
    Class { name: "torch._utils._rebuild_parameter_with_state", role: Role::RebuildParameter },
    storage("torch.FloatStorage", "float32", 4, Some("F32")),
    storage("torch.HalfStorage", "float16", 2, Some("F16")),
    storage("torch.BFloat16Storage", "bfloat16", 2, Some("BF16")),
    storage("torch.DoubleStorage", "float64", 8, None),
    storage("torch.LongStorage", "int64", 8, None),
    storage("torch.IntStorage", "int32", 4, None),
    storage("torch.ShortStorage", "int16", 2, None),
    storage("torch.CharStorage", "int8", 1, None),
    storage("torch.ByteStorage", "uint8", 1, None),
    storage("torch.BoolStorage", "bool", 1, None),
];

const fn storage(
    class: &'static str,
    name: &'static str,
    n_bytes: u64,
    format: Option<&'static str>,
) -> Class {
    Class { name: class, role: Role::Storage(ScalarType { name, n_bytes, format }) }
}
