#include "evenkeel/spec/family.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "evenkeel/base/error.h"
#include "evenkeel/spec/arm.h"

namespace evenkeel {
namespace {

constexpr std::array kFamilies{&kDecoderLmRow, &kSeq2SeqRow};
static_assert(kFamilies.size() == EnumNames<Family>::names.size());

bool has(const FamilyRow& row, std::string_view field) {
  return std::find(row.own_fields.begin(), row.own_fields.end(), field) != row.own_fields.end();
}

// A manifest names every field, so it is the value that tells.
bool differs_from_default(const Experiment& e, const std::string& path) {
  static const Json defaults = to_json(Experiment{});
  const Json own = to_json(e);
  return field_value(own, path) != field_value(defaults, path);
}

}  // namespace

const FamilyRow& family_row(Family family) {
  return **std::find_if(kFamilies.begin(), kFamilies.end(),
                        [&](const FamilyRow* row) { return row->family == family; });
}

void refuse_fields_of_others(const Experiment& e, const Given& given) {
  const FamilyRow& own = family_row(e.arch.family);
  for (const FamilyRow* row : kFamilies) {
    for (const std::string_view name : row->own_fields) {
      const std::string field(name);
      if (has(own, field) || !given.has(field) || !differs_from_default(e, field)) continue;
      std::vector<std::string_view> owners;
      for (const FamilyRow* other : kFamilies)
        if (has(*other, field)) owners.push_back(enum_name(other->family));
      throw InputError(
          fmt::format("[{}] ({}) belongs to {}, but {}; leave one out", field, given.origin(field),
                      fmt::join(owners, ", "),
                      given.text("arch.family", fmt::format("\"{}\"", enum_name(e.arch.family)))));
    }
  }
}

std::int64_t layer_params(const ArchSpec& a) {
  return 4 * a.D() * a.D() + 2 * a.D() * a.F();
}

bool ArchSpec::ties_head() const {
  return head == HeadForm::kTied || (head == HeadForm::kByFamily && family_row(family).ties_head);
}

std::int64_t ArchSpec::params() const {
  return family_row(family).params(*this);
}

std::int64_t Experiment::tokens_per_step() const {
  return family_row(arch.family).tokens_per_step(*this);
}

}  // namespace evenkeel
