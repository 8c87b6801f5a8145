// Decoder-only language models: the project's defaults are theirs.
#include <array>

#include "evenkeel/spec/family.h"

namespace evenkeel {
namespace {
constexpr std::array<std::string_view, 2> kBatchOfText{"train.batch", "arch.context"};
}

const FamilyRow kDecoderLmRow{
    .family = Family::kDecoderLm,
    .reads = DataForm::kText,
    .built_in = DataKind::kSynthetic,
    .own_fields = {},
    .batch_fields = kBatchOfText,
    .ties_head = false,
    .head_bias = true,
    .scales_embedding = false,
    .fill = [](Experiment&, const Given&) {},
    .complete = [](Experiment&, const Given&) {},
    .layers = [](const ArchSpec& a) { return a.L(); },
    .params = [](const ArchSpec& a) { return a.L() * layer_params(a); },
    .tokens_per_step = [](const Experiment& e) { return e.train.batch * e.arch.context; },
};

}  // namespace evenkeel
