// Gradients and update sizes over depth: whether the gradient vanishes on its way down, and how unequal the
// matrices' gradients and updates are.
//
//   at_sum    RMS of dL/d(omega x + f): what reaches a sub-layer's sum, after the norm that may follow it
//   at_input  RMS of dL/dx: what leaves the sub-layer below, through shortcut, branch and norm; so what
//             reaches the output of the sub-layer before
//
// With L the training loss of the batch, dropout off. (at_input_i / at_input_{i+1})^2 is what sub-layer i
// gains in gradient energy. For every matrix the RMS of dL/dW, of W and, of a checkpoint, of the direction
// that the optimiser went last (Delta of optimiser.h, without the learning rate). Only ratios within one
// answer mean something; `relative` has them to the largest of the matrices inside blocks.
//
// Liu, Liu, Gao, Chen & Han 2020 (arXiv 2004.08249): the Post-LN decoder's gradient vanishes at
// cross-attention by 1 / (1 + Var[f]) each; gradients stay unequal where training succeeds, and Adam's
// updates are nearly equal while those of SGD, whose direction is the gradient's, are not.
//
// Cost: one forward and one backward pass.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "evenkeel/probes/probe.h"
#include "evenkeel/probes/residual_stream.h"

namespace evenkeel::probes {

struct SubLayerGradient {
  std::string site;
  double at_input = 0, at_sum = 0;
  bool input_known = true;  ///< false where x has the layer's input added, so that it is not the one before's
};

struct Gradients {
  std::vector<SubLayerGradient> sublayers;
  std::vector<at::Tensor> parameters;  ///< zeros where the loss does not depend on one
};

/// Of the scalar that `pass` gives. The first sub-layer's x must require a gradient.
Gradients gradients_of(const Pass& pass, nn::Context context, const std::vector<at::Tensor>& parameters);

Probe gradients_probe();

}  // namespace evenkeel::probes
