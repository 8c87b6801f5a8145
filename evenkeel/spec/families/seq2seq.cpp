// Encoder and decoder for sentence pairs, as fairseq has them (Vaswani et al. 2017, arXiv 1706.03762).
#include <fmt/format.h>

#include <array>

#include "evenkeel/base/error.h"
#include "evenkeel/spec/family.h"

namespace evenkeel {
namespace {

constexpr std::array<std::string_view, 5> kOwn{"arch.decoder_depth", "arch.decoder_residual",
                                               "arch.embedding_scale", "arch.attention_dropout",
                                               "arch.activation_dropout"};
constexpr std::array<std::string_view, 1> kBatchOfPairs{"data.batch_tokens"};

void fill(Experiment& e, const Given& given) {
  ArchSpec& a = e.arch;
  if (!given.has("arch.residual")) a.residual = ResidualScheme::kPostLn;
  if (!a.decoder_residual) a.decoder_residual = a.residual;
  if (!given.has("arch.activation")) a.activation = ActivationKind::kRelu;
  if (!given.has("arch.bias")) a.bias = true;
  if (!given.has("arch.init")) a.init = MatrixInit::kXavier;
  if (!given.has("arch.norm_eps")) a.norm_eps = 1e-5;
  if (!given.has("interventions.z_loss")) e.interventions.z_loss = 0;
}

void complete(Experiment& e, const Given& given) {
  if (!e.arch.decoder_depth) e.arch.decoder_depth = e.arch.depth;
  if (e.arch.L() < 1)
    throw InputError(fmt::format("[arch.depth] must be at least 1 for seq2seq, got {} ({})", e.arch.L(),
                                 given.origin("arch.depth")));
  if (e.data.batch_tokens < e.arch.context) {
    throw InputError(fmt::format("{} must be at least {}, or the longest sentence fits no batch",
                                 given.text("data.batch_tokens", e.data.batch_tokens),
                                 given.text("arch.context", e.arch.context)));
  }
  if (e.arch.D() < 4) throw InputError("[arch.width] must be at least 4 for sinusoidal positions, got 2");
}

}  // namespace

const FamilyRow kSeq2SeqRow{
    .family = Family::kSeq2Seq,
    .reads = DataForm::kPairs,
    .built_in = DataKind::kSyntheticPairs,
    .own_fields = kOwn,
    .batch_fields = kBatchOfPairs,
    .ties_head = true,
    .head_bias = false,
    .scales_embedding = true,
    .fill = fill,
    .complete = complete,
    .layers = [](const ArchSpec& a) { return a.L() + a.decoder_layers(); },
    .params =
        [](const ArchSpec& a) {
          const std::int64_t cross = 4 * a.D() * a.D();
          return a.L() * layer_params(a) + a.decoder_layers() * (layer_params(a) + cross);
        },
    .tokens_per_step = [](const Experiment& e) { return e.data.batch_tokens; },
};

}  // namespace evenkeel
