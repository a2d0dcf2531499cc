//! A list of devices → waves. The forecast of a pull request and the rollout itself cut with this.

use hemline_model::{
    DeviceDoc,
    id::DeviceId,
    valid::rollout::{Pick, WaveSpec},
};

use crate::{Facts, resolve::target::twin_of};

/// The devices of each wave, in order. The last wave of a specification takes what is left, so every device is in one.
///
/// `device` finds the document that a selector looks at; one without a document is selected by none.
pub(crate) fn cut<'d>(
    waves: &[WaveSpec],
    pool: &[DeviceId],
    device: impl Fn(&DeviceId) -> Option<&'d DeviceDoc>,
) -> Vec<Vec<DeviceId>> {
    let mut left: Vec<DeviceId> = pool.to_vec();
    let taken = waves.iter().map(|wave| match &wave.pick {
        Pick::Selector(_) => {
            let (taken, others) =
                std::mem::take(&mut left).into_iter().partition(|id| takes(wave, device(id)));
            left = others;
            taken
        }
        Pick::Count(count) => first(&mut left, *count as usize),
        // The share that has the change after this wave, rounded up: 25 % of three devices is one.
        Pick::Percent(percent) => {
            let wanted = (pool.len() * (*percent).min(100) as usize).div_ceil(100);
            let have = pool.len() - left.len();
            first(&mut left, wanted.saturating_sub(have))
        }
        Pick::Rest => std::mem::take(&mut left),
    });
    taken.collect()
}

/// Would the wave select this device by itself?
pub(super) fn takes(wave: &WaveSpec, device: Option<&DeviceDoc>) -> bool {
    match &wave.pick {
        // What a device reports moves, and would move it between waves.
        Pick::Selector(condition) => {
            device.is_some_and(|device| condition.matches_device(twin_of(device, &Facts::default())))
        }
        Pick::Count(_) | Pick::Percent(_) => false,
        Pick::Rest => true,
    }
}

fn first(left: &mut Vec<DeviceId>, count: usize) -> Vec<DeviceId> {
    let rest = left.split_off(count.min(left.len()));
    std::mem::replace(left, rest)
}
