#include "evenkeel/data/source.h"

#include "evenkeel/data/pairs/pair_source.h"
#include "evenkeel/data/synthetic/synthetic_source.h"
#include "evenkeel/data/text/formats.h"

namespace evenkeel::data {
namespace {

DataKind kind_of(const DataSpec& spec) {
  return spec.kind ? *spec.kind : detect_kind(spec);
}

OpenedText open_text(DataKind kind, const DataSpec& spec) {
  switch (kind) {
    case DataKind::kTokens:
      return open_tokens(spec);
    case DataKind::kShard:
      return open_llmc(spec);
    case DataKind::kNanogpt:
      return open_nanogpt(spec);
    case DataKind::kJsonl:
      return open_jsonl(spec);
    default:
      return open_bytes(spec);
  }
}

}  // namespace

std::unique_ptr<Source> open_source(const DataSpec& spec, std::int64_t context) {
  const DataKind kind = kind_of(spec);
  if (form_of(kind) == DataForm::kText) return open_windows(spec, context);
  return std::make_unique<PairSource>(kind == DataKind::kPairs ? open_pairs(spec) : make_pair_task(spec),
                                      spec, context);
}

std::unique_ptr<WindowSource> open_windows(const DataSpec& spec, std::int64_t context) {
  const DataKind kind = kind_of(spec);
  if (kind == DataKind::kSynthetic) return make_synthetic_source(spec, context);
  return make_text_source(open_text(kind, spec), spec, context);
}

DataFacts facts_for_resolve(const Source& source, const DataSpec& spec) {
  return {kind_of(spec), source.vocab(), source.fingerprint()};
}

}  // namespace evenkeel::data
