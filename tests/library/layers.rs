//! Imports of the library point one way.

use gatefold_fixtures::layers;

#[test]
fn modules_use_what_comes_before_them() {
    layers::check(env!("CARGO_MANIFEST_DIR"));
}
