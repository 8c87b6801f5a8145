#include "evenkeel/spec/arch.h"

#include <fmt/format.h>

#include "evenkeel/base/error.h"

namespace evenkeel {

const std::vector<Rung>& ladder(const std::string& name) {
  static const std::vector<Rung> mini{{"d32", 32, 2, 2},    {"d48", 48, 2, 3},    {"d64", 64, 2, 4},
                                      {"d80", 80, 3, 5},    {"d96", 96, 3, 6},    {"d128", 128, 4, 8},
                                      {"d192", 192, 6, 12}, {"d256", 256, 6, 16}, {"d256L12", 256, 12, 16}};
  static const std::vector<Rung> paper{
      {"2.4M", 256, 3, 4},    {"9.4M", 512, 3, 8},    {"19M", 512, 6, 8},
      {"42M", 768, 6, 12},    {"85M", 768, 12, 12},   {"151M", 1024, 12, 16},
      {"302M", 1024, 24, 16}, {"1.2B", 2048, 24, 32}, {"4.8B", 4096, 24, 64}};
  if (name == "mini") return mini;
  if (name == "paper") return paper;
  throw InputError("[arch.ladder] must be one of mini, paper, got \"" + name + "\"");
}

std::vector<std::string> ladder_names() {
  return {"mini", "paper"};
}

std::string ArchSpec::scheme_text() const {
  return decoder_scheme() == residual
             ? std::string(enum_name(residual))
             : fmt::format("{}/{}", enum_name(residual), enum_name(decoder_scheme()));
}

}  // namespace evenkeel
