//! Enums whose variants have a stable code. The code is written once, beside its variant, so that the list of all variants,
//! the code, and what serde writes cannot disagree.

/// Defines such an enum, with `ALL` in the order of writing and `code()`; serde reads and writes the code.
macro_rules! coded {
    (
        $(#[$meta:meta])*
        pub enum $name:ident { $($(#[$of:meta])+ $variant:ident = $code:literal,)+ }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$of])+ #[serde(rename = $code)] $variant,)+
        }

        impl $name {
            /// Every variant, in this order.
            pub const ALL: [$name; [$($code),+].len()] = [$($name::$variant),+];

            /// The stable code.
            pub const fn code(self) -> &'static str {
                match self {
                    $($name::$variant => $code,)+
                }
            }
        }
    };
}
pub(crate) use coded;
