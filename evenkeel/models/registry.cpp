#include "evenkeel/models/registry.h"

#include "evenkeel/models/decoder_lm.h"
#include "evenkeel/models/seq2seq.h"

namespace evenkeel::models {

std::unique_ptr<Model> build_family(const Experiment& experiment) {
  switch (experiment.arch.family) {
    case Family::kDecoderLm:
      return std::make_unique<DecoderLm>(experiment.arch, *experiment.data.vocab);
    case Family::kSeq2Seq:
      return std::make_unique<Seq2Seq>(experiment.arch, *experiment.data.vocab);
  }
  return nullptr;
}

}  // namespace evenkeel::models
