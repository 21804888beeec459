//! The gradient of the hidden layer, with what it was before its activation computed once more beside
//! it, so that the activation's slope never lies in memory.

use std::marker::PhantomData;

use crate::activation::{Activate, Activation, Gelu, QuickGelu};
use crate::block::Packed;
use crate::format::Format;
use crate::heads::{BlockPlace, write_rows};
use crate::isa::Isa;
use crate::kernel::{Kernel, Strips, Task, run};
use crate::linear::{Part, Plan};
use crate::rows::Tokens;
use crate::tiles::{Buffer, Operand, RegisterTile, SharedBlocks, Square};

impl<F: Format> Packed<F> {
    /// Both operands are left ones, `[rows, width]`; what is written is one, `[rows, hidden]`.
    pub(super) fn hidden_gradient(
        &self,
        isa: Isa,
        normed: &[RegisterTile],
        output_gradient: &[RegisterTile],
        tokens: Tokens,
        to: &mut [RegisterTile],
    ) {
        match self.activation {
            Activation::QuickGelu => {
                HiddenTask::<F, QuickGelu>::run(self, isa, normed, output_gradient, tokens, to);
            }
            Activation::Gelu => {
                HiddenTask::<F, Gelu>::run(self, isa, normed, output_gradient, tokens, to);
            }
        }
    }
}

struct HiddenTask<'a, F, A> {
    layers: &'a Packed<F>,
    normed: Operand<'a>,
    output_gradient: Operand<'a>,
    to: SharedBlocks<'a>,
    groups: usize,
    plan: Plan,
    activation: PhantomData<fn() -> A>,
}

impl<'a, F: Format, A: Activate> HiddenTask<'a, F, A> {
    fn run(
        layers: &'a Packed<F>,
        isa: Isa,
        normed: &'a [RegisterTile],
        output_gradient: &'a [RegisterTile],
        tokens: Tokens,
        to: &'a mut [RegisterTile],
    ) {
        let strip = layers.norm_mlp.blocks() * F::TILES;
        let (groups, panels) = (tokens.groups(), layers.mlp_in.panels());
        let plan = Plan::new(groups, panels, 4 * strip * size_of::<RegisterTile>());
        let task = Self {
            layers,
            normed: Operand::new(normed, strip),
            output_gradient: Operand::new(output_gradient, strip),
            to: SharedBlocks::new(to, panels * F::TILES, F::TILES),
            groups,
            plan,
            activation: PhantomData,
        };
        run(isa, plan.pieces(), &task);
    }
}

impl<F: Format, A: Activate> Task for HiddenTask<'_, F, A> {
    #[inline(always)]
    fn piece<K: Kernel>(&self, index: usize) {
        let (mlp_in, mlp_out) = (&self.layers.mlp_in, &self.layers.mlp_out);
        let Part { groups, panels } = self.plan.part(index, self.groups, mlp_in.panels());
        let mut turned = Buffer::zeros(mlp_out.turned_tiles());
        let (mut hidden, mut gradient) = (Square::ZERO, Square::ZERO);
        for panel in panels {
            mlp_out.turn_panel::<K>(panel, &mut turned);
            let (low, high) = turned.split_at(turned.len() / 2);
            let (columns, bias) = (mlp_in.panel(panel), mlp_in.panel_bias::<K>(panel));
            for group in groups.clone() {
                let strips = Strips { rows: self.normed.pair(group), columns };
                F::multiply::<K>(strips, columns[0].as_ptr(), &mut hidden);
                let rows = self.output_gradient.pair(group);
                let strips = Strips { rows, columns: [low, high] };
                F::multiply::<K>(strips, low.as_ptr(), &mut gradient);
                through_activation::<K, F, A>(&hidden, bias, &mut gradient);
                let at = BlockPlace { strip: 2 * group, block: panel };
                write_rows::<K, F>(&self.to, at, &gradient);
            }
        }
    }
}

/// Multiplies a gradient by the activation's slope.
#[inline(always)]
fn through_activation<K: Kernel, F: Format, A: Activate>(
    hidden: &Square,
    bias: [K::V; 2],
    gradient: &mut Square,
) {
    for (hidden, gradient) in hidden.0.iter().zip(&mut gradient.0) {
        for half in 0..2 {
            let slope = A::slope::<K, F>(K::add(K::load(&hidden[half]), bias[half]));
            K::store(K::mul(K::load(&gradient[half]), slope), &mut gradient[half]);
        }
    }
}
