/// The seed of a process. Each component derives its own generator from it, so that one drawing more often does
/// not change what another draws.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seed(pub u64);

impl Seed {
    /// The generator of one component: same seed and name, same sequence.
    #[must_use]
    pub fn rng(self, component: &str) -> fastrand::Rng {
        fastrand::Rng::with_seed(self.derive(component).0)
    }

    /// The seed of a component that has components of its own.
    #[must_use]
    pub fn derive(self, component: &str) -> Self {
        // FNV-1a over the name, then one round of splitmix64: stable across platforms and releases.
        let name = component
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        let mut z = (self.0 ^ name).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self(z ^ (z >> 31))
    }
}
