//! Where a deliberate bug sits: one short switch, which is nothing at all without the feature `mutants`.

/// - `mutated!(config, Name)`: whether that bug is switched on.
/// - `mutated!(config, Name, wrong, right)`: `wrong` if it is, else `right`.
/// - `mutated!(by helper, right)`: where one place has several bugs, or a long one: what the helper in
///   `mutants::wrong` makes of it; it gives what is right unless one of them is switched on.
///
/// Without the feature: `false`, `right`, `right`. Nothing else is compiled.
#[cfg(feature = "mutants")]
macro_rules! mutated {
    (by $helper:expr, $right:expr) => {
        $helper
    };
    ($config:expr, $mutant:ident) => {
        $config.mutant() == Some($crate::mutants::Mutant::$mutant)
    };
    ($config:expr, $mutant:ident, $wrong:expr, $right:expr) => {
        if $config.mutant() == Some($crate::mutants::Mutant::$mutant) { $wrong } else { $right }
    };
}

/// As above, switched off.
#[cfg(not(feature = "mutants"))]
macro_rules! mutated {
    (by $helper:expr, $right:expr) => {
        $right
    };
    ($config:expr, $mutant:ident) => {
        false
    };
    ($config:expr, $mutant:ident, $wrong:expr, $right:expr) => {
        $right
    };
}

pub(crate) use mutated;
