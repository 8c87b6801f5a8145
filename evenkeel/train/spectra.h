// Spectral norms inside a model: of every matrix in use, of every head's W_Q W_K^T, of the optimiser's
// updates beside Proposition 3.2's bound, and the entropy of attention beside Theorem 3.1's (Zhai et al.
// 2023, arXiv 2303.06296).
//
//   sigma(A) by block power iteration (kernels/block_power.h) in the type of the parameters, warm from the
//   last call, with residual |A^T u - sigma v| / sigma. A head's product W_Q^hT W_K^h, each [K, D], is
//   applied one factor after the other.
//
// Reads a model and changes no bit of it; no bit of what it says depends on the number of threads. Cost: up
// to 60 iterations of 16 operations per weight, a forward pass of one sequence, H T^2 / 2 exponentials per
// layer.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "evenkeel/models/model.h"
#include "evenkeel/nn/attention.h"
#include "evenkeel/ops/entropy_check.h"
#include "evenkeel/ops/top_singular.h"
#include "evenkeel/optim/optimiser.h"
#include "evenkeel/telemetry/recorder.h"

namespace evenkeel::train {

struct MatrixSpectrum {
  std::string parameter;            ///< name of the parameter that the matrix is made of
  std::int64_t rows = 0, cols = 0;  ///< as stored: [out, in]
  kernels::TopSingular top;         ///< of the matrix in use, treatments included
};
struct HeadSpectra {
  std::string site;  ///< "layer00"
  std::vector<kernels::TopSingular> heads;
};
struct Spectrum {
  std::vector<MatrixSpectrum> matrices;
  std::vector<HeadSpectra> products;  ///< W_Q W_K^T
};
struct UpdateSpectrum {
  std::string parameter;
  kernels::TopSingular top;
  double bound = 0;  ///< |Delta|_F / sqrt(min(m, n))
};
struct EntropyChecks {
  std::string site;
  std::vector<ops::EntropyCheck> heads;  ///< none where `why` says so
  const char* why = "";                  ///< a sentence without its full stop
};

class Spectra {
 public:
  /// Linear layers and embeddings below `model`, which must outlive this, and its attention.
  explicit Spectra(nn::Module& model);

  /// Of the weights in use in `context`; one that does not train leaves the state of treatments alone.
  Spectrum measure(const nn::Context& context, const ops::PowerOptions& options = {});
  /// Of an update without learning rate and decay: `direction(i)` is that of matrices()[i], undefined when
  /// it has none.
  std::vector<UpdateSpectrum> updates(const std::vector<at::Tensor>& directions,
                                      const ops::PowerOptions& options = {});
  /// The parameters of the matrices, in the order of measure().
  const std::vector<const nn::Param*>& matrices() const { return matrices_; }

  /// The vectors that the iterations start from, named; copy into them to load.
  std::vector<std::pair<std::string, at::Tensor>> state() const;

 private:
  std::vector<const nn::Linear*> linears_;
  std::vector<const nn::Attention*> attentions_;
  std::vector<const nn::Param*> matrices_;  ///< of the linear layers, then of the embeddings
  std::vector<at::Tensor> blocks_, update_blocks_;
  std::vector<at::Tensor> product_blocks_;  ///< [H, 4, D] per attention
};

/// Adam's Delta of the last update of every one of spectra.matrices(), for updates().
std::vector<at::Tensor> directions(const optim::Optimiser& optimiser, const Spectra& spectra);

void record(const Spectrum& spectrum, telemetry::Recorder& recorder);
void record(const std::vector<UpdateSpectrum>& updates, telemetry::Recorder& recorder);
/// The events "bound_violated" are given back.
std::vector<Json> record(const std::vector<EntropyChecks>& checks, std::int64_t step,
                         telemetry::Recorder& recorder);

/// Theorem 3.1 on every head and row of one sequence of `batch` (of a pair, in all three kinds of attention),
/// from a forward pass of its own in `context`. Padding, which gets no weight, is cut off before.
std::vector<EntropyChecks> check_entropy(const models::Model& model, const models::Batch& batch,
                                         std::int64_t sequence, nn::Context context);

}  // namespace evenkeel::train
